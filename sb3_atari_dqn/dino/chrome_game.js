// Adapter of the browser's own game, chrome://dino, for the harness.
//
// Written against Chromium 156. The class Runner is a global of the page's script; its single instance gives access to
// all other objects.

const CHROME_START_X = 24; // position of the T-Rex after the intro of 0.4 s, in pixels

// By default the canvas is as wide as the page's text column, 552 pixels; force 600. Windows scale it up, and the
// column would clip it.
function widenCanvas() {
  document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = ".interstitial-wrapper { box-sizing: content-box !important; "
      + "min-width: 600px !important; max-width: 600px !important; overflow: visible !important; }";
    document.head.append(style);
  }, { capture: true });
}

function hasChromeGame() {
  return typeof Runner === "function" && typeof Runner.getInstance === "function";
}

function chromeGame() {
  const runner = Runner.getInstance();
  const { horizon, tRex, distanceMeter } = runner;

  // restart() does not reset these, and each of them affects rendering or random numbers of the next episode.
  function clearLeftovers() {
    Object.assign(distanceMeter, { maxScoreUnits: 5, maxScore: 99999, flashTimer: 0, flashIterations: 0 });
    Object.assign(horizon, { obstacleHistory: [], clouds: [] });
    Object.assign(horizon.nightMode, { xPos: 0, drawStars: false });
    for (const line of horizon.horizonLines) {
      line.sourceXPos = [line.spritePos.x, line.spritePos.x + line.dimensions.width];
    }
    Object.assign(tRex, { timer: 0, reachedMinHeight: false });
    runner.invertTrigger = false;
    horizon.addCloud();
  }

  return {
    canvas: runner.canvas,
    ready: () => Boolean(tRex),
    start() {
      const { width, height } = runner.canvas;
      if (width !== 600 || height !== 150) throw new Error(`the canvas has ${width}x${height} pixels, not 600x150`);
      clearInterval(runner.resizeTimerId);
      runner.adjustDimensions = () => {}; // resizing the window would stop the game after a delay
      runner.onVisibilityChange = () => {}; // hiding the window would stop the game
      runner.saveHighScore = () => {}; // the game draws a high score onto the canvas
      distanceMeter.highScore = "";
      runner.playIntro();
      runner.startGame();
      tRex.xInitialPos = CHROME_START_X;
    },
    reset(speed, acceleration) {
      if (!runner.crashed) runner.gameOver(); // restart() only works after a crash
      clearLeftovers();
      runner.updateConfigSetting("speed", speed);
      runner.updateConfigSetting("acceleration", acceleration);
      runner.restart();
      tRex.currentFrame = 0;
    },
    crashed: () => runner.crashed,
    distance: () => runner.distanceRan,
    speed: () => runner.currentSpeed,
    // The score as displayed. The display freezes while it flashes at every hundred points; this value does not.
    score: () => distanceMeter.getActualDistance(Math.ceil(runner.distanceRan)),
    // [kind, x, y, width, height] in canvas pixels, nearest first.
    obstacles: () => horizon.obstacles.map(
      ({ typeConfig, xPos, yPos, width }) => [typeConfig.type, xPos, yPos, width, typeConfig.height],
    ),
  };
}
