"""The model card of our algorithms: how to use the model, and how it was evaluated and trained.

Pure text from :class:`Facts`. Lines with missing facts are omitted.
"""

import math
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import yaml

import sb3_atari_dqn
from sb3_atari_dqn.catalogue import ALGORITHMS, Algorithm

_PACKAGES = ("stable_baselines3", "rl_zoo3", "gymnasium", "ale-py", "torch")

#: Arguments of the zoo's train script that affect the result: name in args.yml, flag, default.
_TRAIN_FLAGS = (
    ("n_timesteps", "-n", -1),
    ("eval_freq", "--eval-freq", 25000),
    ("vec_env", "--vec-env", "dummy"),
    ("seed", "--seed", None),
)


@dataclass(frozen=True)
class Facts:
    """Facts about a model that is about to be pushed.

    :param repo_id: organisation/name on the Hub
    :param args: arguments of the zoo's train script (``args.yml``)
    :param config: hyperparameters (``config.yml``)
    :param env_kwargs: arguments of the evaluation environment (``env_kwargs.yml``)
    :param results: score and evaluation protocol (``results.json``)
    :param endpoint: address of the Hub if the repository has a video of this model, else None
    :param exported: names of the files of the model without pickle
    """

    repo_id: str
    args: dict[str, Any]
    config: dict[str, Any]
    env_kwargs: dict[str, Any]
    results: dict[str, Any]
    endpoint: str | None
    exported: tuple[str, ...] = ()

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
    """Add searchable tags to upstream's metadata."""
    tags = ["atari"] if "frames_per_step" in facts.results else []
    return {
        **metadata,
        "tags": [*metadata["tags"], *tags, "sb3-atari-dqn", facts.algo],
        "pipeline_tag": "reinforcement-learning",
        "license": "mit",
    }


def render(facts: Facts) -> str:
    """:return: the card's Markdown, without metadata"""
    sections = (_introduction(facts), _score(facts), _usage(facts), _without_pickle(facts), _training(facts))
    return "\n".join(line for section in sections for line in section) + "\n"


def _introduction(facts: Facts) -> list[str]:
    algorithm = facts.algorithm
    papers = ", ".join(paper.link for paper in algorithm.papers)
    lines = [
        f"# **{algorithm.class_name}** agent playing **{facts.env_id}**",
        "",
        f"The algorithm `{facts.algo}` is {algorithm.summary} ({papers}). It is part of sb3-atari-dqn, a plug-in for "
        "[Stable-Baselines3](https://github.com/DLR-RM/stable-baselines3) and the "
        f"[RL Zoo](https://github.com/DLR-RM/rl-baselines3-zoo); `{algorithm.page}` in its source distribution "
        "lists the deviations from the papers.",
    ]
    if facts.endpoint is not None:
        video = f"{facts.endpoint}/{facts.repo_id}/resolve/main/replay.mp4"
        lines += ["", f'<video src="{video}" controls autoplay loop muted width="320"></video>']
    return lines


def _score(facts: Facts) -> list[str]:
    results = facts.results
    atari = "frames_per_step" in results
    kind = "raw game score, full episodes over all lives" if atari else "undiscounted return"
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
    epsilon = results.get("epsilon")
    if results["is_deterministic"] or epsilon == 0:  # noisy layers have no noise when the policy predicts
        return "deterministic (greedy)"
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
        "Install the plug-in, which includes the RL Zoo:",
        "",
        *_shell("pip install sb3-atari-dqn"),
        "",
        "**Do you trust this repository?** A model file contains pickled Python objects: loading it can execute "
        "arbitrary code. The RL Zoo therefore only downloads models if you opt in:",
        "",
        *_shell("export TRUST_REMOTE_CODE=True"),
        "",
        "Download the model into `logs/`:",
        "",
        *_shell(_zoo("load_from_hub", facts, *repository)),
        "",
        "Watch the agent in a window, print episode rewards without a display, or record a video:",
        "",
        *_shell(
            _zoo("enjoy", facts),
            _zoo("enjoy", facts, "--no-render", "-n", "3000"),
            _zoo("record_video", facts, "-n", "1000"),
        ),
    ]


def _without_pickle(facts: Facts) -> list[str]:
    if not facts.exported:
        return []
    class_name = facts.algorithm.class_name
    names = ", ".join(f"`{name}`" for name in facts.exported)
    allowed = ", ".join(f'"{name}"' for name in facts.exported)
    return [
        "",
        "## Use the model without pickle",
        "",
        f"The repository also holds the model as {names}. Nothing in these files is executed when they are read:",
        "",
        "```python",
        "from huggingface_hub import snapshot_download",
        f"from sb3_atari_dqn import {class_name}",
        "",
        f'model = {class_name}.import_(snapshot_download("{facts.repo_id}", allow_patterns=[{allowed}]))',
        "```",
    ]


def _training(facts: Facts) -> list[str]:
    lines = ["", "## Reproduce the training", "", *_shell(_zoo("train", facts, *_train_flags(facts.args))), ""]
    if facts.args.get("trained_agent"):
        lines += ["This model continued the training of an earlier model, which the command does not repeat.", ""]
    if facts.config.get("ray") is not None:
        lines += ["Its games were played by actors of a cluster, which command and hyperparameters leave out.", ""]
    own_conf_file = facts.args.get("conf_file") is not None and not _is_recipe(facts.args)
    if own_conf_file or facts.args.get("trial_id") is not None:
        lines += [
            "This model was not trained with the plug-in's default configuration: save the hyperparameters below as "
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
        if options := _without_ray(args.get(name) or {}):
            words += [flag, *(f"{key}:{_expression(value)}" for key, value in options.items())]
    return words


def _without_ray(hyperparams: Mapping[str, Any]) -> dict[str, Any]:
    """:return: what others can use: the actors are in a network of the author's, whose address is not public"""
    return {name: value for name, value in hyperparams.items() if name.partition(".")[0] != "ray"}


def _expression(value: Any) -> str:
    """:return: Python that the zoo can evaluate; the `repr` of infinity or NaN is not"""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_expression(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_expression, value))}]"
    return repr(value)


def _is_recipe(args: dict[str, Any]) -> bool:
    """:return: whether the configuration is part of this package and can be passed by name"""
    return str(args.get("conf_file")).startswith("sb3_atari_dqn.recipes.")


def _zoo(script: str, facts: Facts, *words: str) -> str:
    command = ["python", "-m", f"rl_zoo3.{script}", "--algo", facts.algo, "--env", facts.env_id, "-f", "logs/"]
    return " ".join(_quote(word) for word in [*command, *words])


def _quote(word: str) -> str:
    """Quote a word for the shell, with double quotes around Python's single quotes for readability."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not set(word) & set('"$`\\!') else quoted


def _shell(*commands: str) -> list[str]:
    return ["```bash", *commands, "```"]


def _hyperparameters(facts: Facts) -> str:
    """The hyperparameters in the zoo's format, with the effective n_timesteps."""
    config = _without_ray(facts.config)
    if facts.args.get("n_timesteps", -1) > 0:
        config["n_timesteps"] = facts.args["n_timesteps"]
    return yaml.dump({facts.env_id: config}, Dumper=_PlainDumper, sort_keys=True).rstrip()


class _PlainDumper(yaml.SafeDumper):
    """Writes objects without a YAML representation (from a Python configuration) as their ``repr``."""


_PlainDumper.add_multi_representer(dict, _PlainDumper.represent_dict)
_PlainDumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(repr(value)))
