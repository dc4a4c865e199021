// The game's time and chance: animation frames, the clock and Math.random.
//
// Runs before any script of the page. In lock-step the three are replaced, and time passes in tick() only. A frame
// lasts 4267/256 ms. That is a little more than 1/60 s, as the game rounds down what it moves in a frame; and it is a
// sum of powers of two, so that differences of times are exact however long the game lasts.

const FRAME_MS = 4267 / 256;

function makeClock(realtime) {
  const requestRealFrame = window.requestAnimationFrame.bind(window);
  const waiting = new Map();
  let now_ms = FRAME_MS; // the game takes a time of 0 for none
  let lastId = 0;
  if (!realtime) {
    window.requestAnimationFrame = (callback) => {
      waiting.set(++lastId, callback);
      return lastId;
    };
    window.cancelAnimationFrame = (id) => { waiting.delete(id); };
    performance.now = () => now_ms;
  }
  return {
    // One frame of lock-step. What asks for a frame meanwhile gets the next one.
    tick() {
      now_ms += FRAME_MS;
      for (const id of [...waiting.keys()]) {
        const callback = waiting.get(id);
        if (waiting.delete(id)) callback(now_ms);
      }
    },
    realFrame() { return new Promise((resolve) => { requestRealFrame(resolve); }); },
  };
}

// Mulberry32, by Tommy Ettinger (public domain): Math.random from a seed.
function seedRandom(seed) {
  let state = seed | 0;
  Math.random = () => {
    state = (state + 0x6D2B79F5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
  };
}
