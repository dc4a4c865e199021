"""Part 3: sweep over environments x batch size x samples per step, with time shares; most informative first.

Within a group, all batch sizes use the same number of samples per step. One process; games are loaded once per number
of environments.
"""

from typing import Any

from contestants import Contestant, warm_up, window
from stable_baselines3.common.vec_env import VecEnv

from gpu.results import Report, arguments
from gpu.shares import shares
from gpu.speed import GAME, SPEED, ours, tiny

#: Environments, batch size, samples per environment step. A published CUDA Atari learner was measured at 256 x 1024 x 8
#: and 512 x 1.
GRID = (
    *((128, 512, 8), (128, 512, 1), (128, 1024, 8), (128, 256, 8)),
    *((256, 1024, 8), (256, 512, 1), (256, 512, 8)),
    *((64, 512, 8), (64, 256, 8), (64, 512, 1), (64, 32, 8)),
)
SMALL = ((2, 4, 2), (2, 8, 1))


def main() -> None:
    args = arguments(__doc__).parse_args()
    report = Report("sweep", args)
    window_s, grid = (0.2, SMALL) if args.dry_run else (2.0, GRID)
    rows: list[dict[str, Any]] = []
    envs: dict[int, VecEnv] = {}
    for n_envs, batch_size, samples in grid:
        # Loading a game takes about 0.13 s; a row takes the windows, and as long again for the warm-up.
        needed_s = 4 * window_s + (0 if n_envs in envs else 0.13 * n_envs)
        if rows and report.seconds_left() < needed_s:
            continue
        contestant = tiny(batch_size, samples) if args.dry_run else ours(n_envs, batch_size, samples_per_step=samples)
        rows.append(measure(contestant, args.device, window_s, envs))
        report.put(rows=rows)
    report.done(rows=rows, left_out=len(grid) - len(rows))


def measure(contestant: Contestant, device: str, window_s: float, envs: dict[int, VecEnv]) -> dict[str, Any]:
    """:param envs: vector environments by number of environments; missing ones are added"""
    n_envs = contestant.n_envs
    if n_envs not in envs:
        envs[n_envs] = contestant.environment(GAME)
    model = contestant.build(GAME, device, envs[n_envs])
    warm_up(model, contestant)
    steps = round(window(model, 8 * n_envs)[SPEED] * window_s)
    measured = window(model, steps)
    divided = shares(model, steps)
    for method in ("step_async", "step_wait"):  # remove the stopwatch: the environment is reused
        vars(model.env).pop(method, None)
    return {
        "n_envs": n_envs,
        "batch_size": contestant.batch_size,
        "samples_per_step": contestant.samples_per_step,
        SPEED: measured[SPEED],
        "updates_per_second": measured["updates_per_second"],
        "shares": divided,
    }


if __name__ == "__main__":
    main()
