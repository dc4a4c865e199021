// The interface for Python: window.dino. One call per step presses a key, plays k frames and returns a report.
//
// `settings` is defined before this script: {realtime, visible, press, crop, size, speed, acceleration}.

const KEYS = [null, 38, 40]; // nothing, arrow up, arrow down

function makeHarness(settings) {
  const clock = makeClock(settings.realtime);
  let game = null;
  let capture = null;
  let held = null;
  let frames = 0;

  function dispatch(type, code) {
    document.dispatchEvent(new KeyboardEvent(type, { keyCode: code, bubbles: true, cancelable: true }));
  }

  function release() {
    if (held !== null) dispatch("keyup", held);
    held = null;
  }

  // A held key repeats its event, as a keyboard does.
  function press(code) {
    if (held !== code) release();
    if (code === null) return;
    dispatch("keydown", code);
    held = code;
    if (settings.press === "tap") release();
  }

  function report() {
    return {
      crashed: game.crashed(),
      frames,
      score: game.score(),
      distance: game.distance(),
      speed: game.speed(),
      image: capture.gray(),
    };
  }

  async function pacedStep(count) {
    for (let frame = 0; frame < count && !game.crashed(); frame++) {
      await clock.realFrame();
      if (!settings.realtime) clock.tick();
      frames++;
    }
    return report();
  }

  return {
    loaded: () => document.readyState === "complete",
    hasGame: () => Boolean(window.embeddedGame) || hasChromeGame(),
    ready() {
      game = window.embeddedGame || chromeGame();
      return game.ready();
    },
    start() {
      capture = makeCapture(game.canvas, settings.crop, settings.size);
      if (!settings.visible) game.canvas.style.visibility = "hidden"; // saves compositing
      game.start();
      return [game.canvas.height, game.canvas.width];
    },
    reset(seed) {
      release();
      seedRandom(seed);
      game.reset(settings.speed, settings.acceleration);
      frames = 0;
      return report();
    },
    // Returns a report, or a promise of one when playing in real time.
    step(action, count) {
      press(KEYS[action]);
      if (settings.realtime || settings.visible) return pacedStep(count);
      for (let frame = 0; frame < count && !game.crashed(); frame++) {
        clock.tick();
        frames++;
      }
      return report();
    },
    rgb: () => capture.rgb(),
    obstacles: () => game.obstacles(),
  };
}

keepPixelsReadable();
widenCanvas();
window.dino = makeHarness(settings);
