"""Raw scores of full episodes of a trained greedy policy and of a random policy in the same environment.

    python benchmarks/trained_play.py logs/space_invaders_dueling/dqn_dueling/SpaceInvaders-v0_1 --games 30
    python benchmarks/trained_play.py logs/dqn_dueling/ChromeDino-v0_1 --load-best --value score --out scores.json

The environment is that of `enjoy`. If the environment is deterministic, all episodes of a greedy policy are the same:
the number of different scores shows how many distinct episodes there are.
"""

import argparse
from pathlib import Path

from games import Act, play, random_actions
from report import circumstances, write

import sb3_atari_dqn
from sb3_atari_dqn.zoo.saved_run import find_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run, or a model inside one")
    parser.add_argument("--games", type=int, default=30, help="of each player, at least 2 (default: 30)")
    parser.add_argument("--load-best", action="store_true", help="the best model instead of the last")
    parser.add_argument("--load-checkpoint", type=int, help="the checkpoint after so many steps")
    parser.add_argument("--value", default="return", help="a key of the last info instead of the return: score")
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--out", help="file for the figures, as JSON")
    args = parser.parse_args()
    if args.games < 2:
        parser.error(f"--games {args.games}: give at least 2, a spread needs them")
    sb3_atari_dqn.register()
    run = find_run(args.run, args.load_best, args.load_checkpoint)
    env = run.create_env(args.seed)
    model = run.load_model(env, args.seed, "cpu")
    rng = random_actions(args.seed)
    players: dict[str, Act] = {
        "greedy": lambda observations: model.predict(observations, deterministic=True)[0],
        "random": lambda _: rng.integers(env.action_space.n, size=1),  # type: ignore[attr-defined]
    }
    scores = {name: play(env, act, args.games, args.value, name) for name, act in players.items()}
    env.close()
    about = {"algo": run.algo, "env": run.env_id, "model": run.model_name, "seed": args.seed}
    write({**circumstances("torch", "ale-py", "gymnasium"), **about, **scores}, args.out)


if __name__ == "__main__":
    main()
