// What the harness needs to know about the browser's own game, chrome://dino.
//
// Written against Chromium 156. The class Runner is a global of the page's script; other objects are reached from its
// one instance.

const CHROME_START_X = 24; // where the intro of 0.4 s leaves the T-Rex, in pixels

// The canvas is as wide as the page's text column, 552 pixels, unless told to be 600. In a window it is shown larger
// than that, and the column would cut off what stands out.
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

  // restart() leaves these behind, and each of them shows or draws random numbers in the next episode.
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
      runner.adjustDimensions = () => {}; // a window that changes its size would stop it, some time later
      runner.onVisibilityChange = () => {}; // it would stop whenever its window is not in front
      runner.saveHighScore = () => {}; // a high score is drawn onto the canvas
      distanceMeter.highScore = "";
      runner.playIntro();
      runner.startGame();
      tRex.xInitialPos = CHROME_START_X;
    },
    reset(speed, acceleration) {
      if (!runner.crashed) runner.gameOver(); // restart() works after a crash only
      clearLeftovers();
      runner.updateConfigSetting("speed", speed);
      runner.updateConfigSetting("acceleration", acceleration);
      runner.restart();
      tRex.currentFrame = 0;
    },
    crashed: () => runner.crashed,
    distance: () => runner.distanceRan,
    speed: () => runner.currentSpeed,
    // As the game shows it. Its digits stand still while they flash at every hundred, this goes on.
    score: () => distanceMeter.getActualDistance(Math.ceil(runner.distanceRan)),
    // [kind, x, y, width, height] in pixels of the canvas, the nearest first.
    obstacles: () => horizon.obstacles.map(
      ({ typeConfig, xPos, yPos, width }) => [typeConfig.type, xPos, yPos, width, typeConfig.height],
    ),
  };
}
