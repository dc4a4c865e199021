// Pictures of the game's canvas, in whole numbers throughout, so that every machine and browser computes the same.
//
// The game draws on a transparent canvas over a page of #f7f7f7: pixels are laid over that first.

const PAGE_GRAY = 247;

function overPage(value, alpha) {
  return Math.floor((value * alpha + PAGE_GRAY * (255 - alpha) + 127) / 255);
}

// Of a canvas read often the browser keeps the pixels in memory, where reading costs little. The game asks for its
// context before we see the canvas, so the wish is added here.
function keepPixelsReadable() {
  const getContext = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (type, options) {
    return getContext.call(this, type, type === "2d" ? { ...options, willReadFrequently: true } : options);
  };
}

// How much of each source pixel falls into each target cell, along one axis. In units of 1/(source * target) of the
// axis a pixel is `target` long and a cell `source`, so that all overlaps are whole numbers.
function overlaps(source, target) {
  return Array.from({ length: target }, (_, cell) => {
    const [start, end] = [cell * source, (cell + 1) * source];
    const first = Math.floor(start / target);
    const weights = [];
    for (let pixel = first; pixel * target < end; pixel++) {
      weights.push(Math.min(end, (pixel + 1) * target) - Math.max(start, pixel * target));
    }
    return { first, weights };
  });
}

function toBase64(bytes) {
  if (bytes.toBase64) return bytes.toBase64();
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

// crop: [top, bottom, left, right] in pixels, cut at the edges of the canvas, or null; size: [height, width].
function makeCapture(canvas, crop, size) {
  const context = canvas.getContext("2d");
  const [top, bottom, left, right] = crop || [0, canvas.height, 0, canvas.width];
  const sourceHeight = Math.min(bottom, canvas.height) - top;
  const sourceWidth = Math.min(right, canvas.width) - left;
  if (sourceHeight < 1 || sourceWidth < 1) {
    throw new Error(`crop [${crop}] lies outside of the canvas of ${canvas.height}x${canvas.width} pixels`);
  }
  const [height, width] = size;
  const rows = overlaps(sourceHeight, height);
  const columns = overlaps(sourceWidth, width);
  const area = sourceHeight * sourceWidth;
  const line = new Int32Array(sourceWidth);
  const narrow = new Int32Array(sourceHeight * width); // columns averaged, rows not yet
  const image = new Uint8Array(height * width);

  function readLine(pixels, row) {
    for (let x = 0, i = row * sourceWidth * 4; x < sourceWidth; x++, i += 4) {
      const alpha = pixels[i + 3];
      line[x] = alpha === 0 ? PAGE_GRAY : (77 * overPage(pixels[i], alpha) + 150 * overPage(pixels[i + 1], alpha)
        + 29 * overPage(pixels[i + 2], alpha) + 128) >> 8;
    }
  }

  function narrowLine(row) {
    for (let cell = 0; cell < width; cell++) {
      const { first, weights } = columns[cell];
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += line[first + i] * weights[i];
      narrow[row * width + cell] = sum;
    }
  }

  return {
    // Gray, mean over the area of each cell, rounded to nearest.
    gray() {
      const pixels = context.getImageData(left, top, sourceWidth, sourceHeight).data;
      for (let row = 0; row < sourceHeight; row++) {
        readLine(pixels, row);
        narrowLine(row);
      }
      for (let y = 0; y < height; y++) {
        const { first, weights } = rows[y];
        for (let x = 0; x < width; x++) {
          let sum = 0;
          for (let i = 0; i < weights.length; i++) sum += narrow[(first + i) * width + x] * weights[i];
          image[y * width + x] = Math.floor((2 * sum + area) / (2 * area));
        }
      }
      return toBase64(image);
    },
    // The whole canvas, red, green and blue of each pixel.
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
