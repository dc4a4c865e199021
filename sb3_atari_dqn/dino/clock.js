// Deterministic time and randomness for the game: animation frames, the clock and Math.random.
//
// Runs before any script of the page. In lockstep mode, time advances only in tick(). A frame lasts 4267/256 ms: a
// little more than 1/60 s, because the game rounds down its movement per frame; and a sum of powers of two, so that
// time differences stay exact in games of any length.

const FRAME_MS = 4267 / 256;

function makeClock(realtime) {
  const requestRealFrame = window.requestAnimationFrame.bind(window);
  const waiting = new Map();
  let now_ms = FRAME_MS; // the game treats a time of 0 as unset
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
    // Advances lockstep time by one frame. Callbacks requested meanwhile run in the next frame.
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

// Seeds Math.random: Mulberry32, by Tommy Ettinger (public domain).
function seedRandom(seed) {
  let state = seed | 0;
  Math.random = () => {
    state = (state + 0x6D2B79F5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296;
  };
}
