"""The model card of our algorithms: what a reader of the Hub needs to use the model, and how its score came about.

Pure text from :class:`Facts`. A fact that is missing leaves its line out.
"""

import platform
import shlex
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import yaml

import sb3_atari_dqn
from sb3_atari_dqn.catalogue import ALGORITHMS, Algorithm

_PACKAGES = ("stable_baselines3", "rl_zoo3", "gymnasium", "ale-py", "torch")

#: Arguments of the zoo's train script that change the result: name in args.yml, flag, value that needs no flag.
_TRAIN_FLAGS = (
    ("n_timesteps", "-n", -1),
    ("eval_freq", "--eval-freq", 25000),
    ("vec_env", "--vec-env", "dummy"),
    ("seed", "--seed", None),
)


@dataclass(frozen=True)
class Facts:
    """What is known about a model that is about to be pushed.

    :param repo_id: organisation/name on the Hub
    :param args: arguments of the zoo's train script (``args.yml``)
    :param config: hyperparameters (``config.yml``)
    :param env_kwargs: arguments of the environment that the score was made in (``env_kwargs.yml``)
    :param results: score and protocol (``results.json``)
    :param endpoint: address of the Hub if the repository has a video of this model, else None
    """

    repo_id: str
    args: dict[str, Any]
    config: dict[str, Any]
    env_kwargs: dict[str, Any]
    results: dict[str, Any]
    endpoint: str | None

    @property
    def algo(self) -> str:
        return self.args["algo"]

    @property
    def algorithm(self) -> Algorithm:
        return ALGORITHMS[self.algo]

    @property
    def env_id(self) -> str:
        return self.args["env"]


def extend_metadata(facts: Facts, metadata: dict[str, Any]) -> dict[str, Any]:
    """What the Hub can search for, beside upstream's tags and score."""
    tags = ["atari"] if "frames_per_step" in facts.results else []
    return {
        **metadata,
        "tags": [*metadata["tags"], *tags, "sb3-atari-dqn", facts.algo],
        "pipeline_tag": "reinforcement-learning",
        "license": "mit",
    }


def render(facts: Facts) -> str:
    """:return: the card's Markdown, without metadata"""
    sections = (_introduction(facts), _score(facts), _usage(facts), _training(facts))
    return "\n".join(line for section in sections for line in section) + "\n"


def _introduction(facts: Facts) -> list[str]:
    algorithm = facts.algorithm
    papers = ", ".join(paper.link for paper in algorithm.papers)
    lines = [
        f"# **{algorithm.class_name}** agent playing **{facts.env_id}**",
        "",
        f"The algorithm `{facts.algo}` is {algorithm.summary} ({papers}). It comes with sb3-atari-dqn, a plug-in for "
        "[Stable-Baselines3](https://github.com/DLR-RM/stable-baselines3) and the "
        f"[RL Zoo](https://github.com/DLR-RM/rl-baselines3-zoo); `{algorithm.page}` in its source distribution "
        "says how it differs from the papers.",
    ]
    if facts.endpoint is not None:
        video = f"{facts.endpoint}/{facts.repo_id}/resolve/main/replay.mp4"
        lines += ["", f'<video src="{video}" controls autoplay loop muted width="320"></video>']
    return lines


def _score(facts: Facts) -> list[str]:
    results = facts.results
    atari = "frames_per_step" in results
    kind = "raw game score; whole games, all lives, rewards not clipped" if atari else "undiscounted episode reward"
    rows = {
        "Mean and standard deviation": f"**{results['mean_reward']:.2f} +/- {results['std_reward']:.2f}** ({kind})",
        "Episodes": str(results["n_eval_episodes"]),
        "Actions": _actions(results),
        "Environment": _environment(facts),
        "Evaluation seed": results.get("seed"),
        "Training": _training_steps(facts),
        "Evaluated with": _versions(),
    }
    return ["", "## Score", "", "| | |", "|---|---|"] + [
        f"| {name} | {value} |" for name, value in rows.items() if value is not None
    ]


def _actions(results: dict[str, Any]) -> str:
    if results["is_deterministic"]:
        return "deterministic (greedy)"
    epsilon = results.get("epsilon")
    return "stochastic" if epsilon is None else f"stochastic (epsilon-greedy, epsilon = {epsilon:g})"


def _environment(facts: Facts) -> str:
    parts = [f"`{facts.env_id}`"]
    if (frames := facts.results.get("frames_per_step")) is not None:
        parts.append(f"{frames} frames per step")
    env_kwargs = {name: value for name, value in facts.env_kwargs.items() if name != "render_mode"}
    if env_kwargs:
        parts.append(f"arguments `{env_kwargs}`")
    return ", ".join(parts)


def _training_steps(facts: Facts) -> str | None:
    steps, frames = facts.results.get("training_steps"), facts.results.get("frames_per_step")
    if steps is None:
        return None
    in_frames = "" if frames is None else f" ({steps * frames:,} frames)"
    return f"{steps:,} environment steps{in_frames}, seed {facts.args['seed']}"


def _versions() -> str:
    found = {"Python": platform.python_version(), "sb3-atari-dqn": sb3_atari_dqn.__version__}
    found |= {package: version(package) for package in _PACKAGES}
    return ", ".join(f"{name} {number}" for name, number in found.items())


def _usage(facts: Facts) -> list[str]:
    organization, _, name = facts.repo_id.partition("/")
    repository = ["-orga", organization]
    if name != f"{facts.algo}-{facts.env_id.replace('/', '-')}":
        repository += ["-name", name]
    return [
        "",
        "## Use the model",
        "",
        "Install the plug-in; the RL Zoo comes with it.",
        "",
        *_shell("pip install sb3-atari-dqn"),
        "",
        "**Do you trust this repository?** A model file contains pickled Python objects, and opening it can run any "
        "code that its author put in. The RL Zoo therefore downloads nothing until you say yes:",
        "",
        *_shell("export TRUST_REMOTE_CODE=True"),
        "",
        "Download the model into `logs/`:",
        "",
        *_shell(_zoo("load_from_hub", facts, *repository)),
        "",
        "Watch it play in a window; without a screen, print the scores of its games; record a video:",
        "",
        *_shell(
            _zoo("enjoy", facts),
            _zoo("enjoy", facts, "--no-render", "-n", "3000"),
            _zoo("record_video", facts, "-n", "1000"),
        ),
    ]


def _training(facts: Facts) -> list[str]:
    lines = ["", "## Train it again", "", *_shell(_zoo("train", facts, *_train_flags(facts.args))), ""]
    if facts.args.get("trained_agent"):
        lines += ["The training of this model continued that of an earlier one, which the command does not repeat.", ""]
    own_conf_file = facts.args.get("conf_file") is not None and not _is_recipe(facts.args)
    if own_conf_file or facts.args.get("trial_id") is not None:
        lines += [
            "The model was not trained with the plug-in's own configuration: save these hyperparameters as "
            "`hyperparameters.yml` and add `-conf hyperparameters.yml` to the command.",
            "",
        ]
    return [*lines, "Hyperparameters:", "", "```yaml", _hyperparameters(facts), "```"]


def _train_flags(args: dict[str, Any]) -> list[str]:
    words = []
    for name, flag, default in _TRAIN_FLAGS:
        if args.get(name, default) != default:
            words += [flag, str(args[name])]
    if _is_recipe(args):
        words += ["-conf", args["conf_file"]]
    if args.get("gym_packages"):
        words += ["--gym-packages", *args["gym_packages"]]
    for name, flag in (("env_kwargs", "--env-kwargs"), ("hyperparams", "-params")):
        if args.get(name):
            words += [flag, *(f"{key}:{value!r}" for key, value in args[name].items())]
    return words


def _is_recipe(args: dict[str, Any]) -> bool:
    """:return: whether the configuration comes with this package, so that its name is enough"""
    return str(args.get("conf_file")).startswith("sb3_atari_dqn.recipes.")


def _zoo(script: str, facts: Facts, *words: str) -> str:
    command = ["python", "-m", f"rl_zoo3.{script}", "--algo", facts.algo, "--env", facts.env_id, "-f", "logs/"]
    return " ".join(_quote(word) for word in [*command, *words])


def _quote(word: str) -> str:
    """Quote a word for the shell; double quotes read better around Python's single ones."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not set(word) & set('"$`\\!') else quoted


def _shell(*commands: str) -> list[str]:
    return ["```bash", *commands, "```"]


def _hyperparameters(facts: Facts) -> str:
    """The zoo's own format, with the training length that was asked for."""
    config = dict(facts.config)
    if facts.args.get("n_timesteps", -1) > 0:
        config["n_timesteps"] = facts.args["n_timesteps"]
    return yaml.dump({facts.env_id: config}, Dumper=_PlainDumper, sort_keys=True).rstrip()


class _PlainDumper(yaml.SafeDumper):
    """Writes what has no YAML form (an object of a Python configuration) as its text."""


_PlainDumper.add_multi_representer(dict, _PlainDumper.represent_dict)
_PlainDumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(repr(value)))
