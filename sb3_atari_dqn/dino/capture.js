// Images of the game's canvas, in integer arithmetic, so that all machines and browsers give identical results.
//
// The game draws on a transparent canvas over a page of #f7f7f7: pixels are blended over that first.

const PAGE_GRAY = 247;

function overPage(value, alpha) {
  return Math.floor((value * alpha + PAGE_GRAY * (255 - alpha) + 127) / 255);
}

// With willReadFrequently the browser keeps the canvas in main memory, where reading pixels is cheap. The game creates
// its context before we see the canvas, so we patch getContext.
function keepPixelsReadable() {
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (type, options) {
    return getContext.call(this, type, type === "2d" ? { ...options, willReadFrequently: true } : options);
  };
}

// The overlap of each source pixel with the target cells along one axis: lists of [cell, weight]. In units of
// 1/(source * target) of the axis, a pixel has length `target` and a cell `source`, so all weights are integers.
function shares(source, target) {
  return Array.from({ length: source }, (_, pixel) => {
    const [start, end] = [pixel * target, (pixel + 1) * target];
    const parts = [];
    for (let cell = Math.floor(start / source); cell * source < end; cell++) {
      parts.push([cell, Math.min(end, (cell + 1) * source) - Math.max(start, cell * source)]);
    }
    return parts;
  });
}

function toBase64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

// crop: [top, bottom, left, right] in pixels, clipped to the canvas, or null; size: [height, width].
function makeCapture(canvas, crop, size) {
  const context = canvas.getContext("2d");
  const [top, bottom, left, right] = crop || [0, canvas.height, 0, canvas.width];
  const sourceHeight = Math.min(bottom, canvas.height) - top;
  const sourceWidth = Math.min(right, canvas.width) - left;
  const [height, width] = size;
  const [rows, columns] = [shares(sourceHeight, height), shares(sourceWidth, width)];
  const area = sourceHeight * sourceWidth;
  const line = new Int32Array(width); // one source row, averaged over columns
  const sums = new Int32Array(height * width); // both relative to the page colour, as most pixels are transparent
  const image = new Uint8Array(height * width);

  function grayOf(pixel) {
    const alpha = pixel >>> 24;
    return (77 * overPage(pixel & 255, alpha) + 150 * overPage((pixel >>> 8) & 255, alpha)
      + 29 * overPage((pixel >>> 16) & 255, alpha) + 128) >> 8;
  }

  // Returns whether this row has any opaque pixels.
  function readLine(pixels, row) {
    let drawn = false;
    line.fill(0);
    for (let x = 0, i = row * sourceWidth; x < sourceWidth; x++, i++) {
      if (pixels[i] === 0) continue;
      drawn = true;
      const difference = grayOf(pixels[i]) - PAGE_GRAY;
      for (const [cell, weight] of columns[x]) line[cell] += difference * weight;
    }
    return drawn;
  }

  function addLine(row) {
    for (const [cell, weight] of rows[row]) {
      for (let x = 0, i = cell * width; x < width; x++, i++) sums[i] += line[x] * weight;
    }
  }

  return {
    // Grayscale, area interpolation, rounded to nearest.
    gray() {
      const pixels = new Uint32Array(context.getImageData(left, top, sourceWidth, sourceHeight).data.buffer);
      sums.fill(0);
      for (let row = 0; row < sourceHeight; row++) if (readLine(pixels, row)) addLine(row);
      for (let i = 0; i < image.length; i++) {
        image[i] = Math.floor((2 * (PAGE_GRAY * area + sums[i]) + area) / (2 * area));
      }
      return toBase64(image);
    },
    // The whole canvas in RGB.
    rgb() {
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
      const picture = new Uint8Array(pixels.length / 4 * 3);
      for (let i = 0, j = 0; i < pixels.length; i += 4) {
        for (let channel = 0; channel < 3; channel++) picture[j++] = overPage(pixels[i + channel], pixels[i + 3]);
      }
      return toBase64(picture);
    },
  };
}
