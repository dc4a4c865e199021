"""What a study is: reads its declaration, and says which command each run is."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_dqn.catalogue import ALGORITHMS

DECLARATIONS = Path(__file__).parents[1] / "studies.yml"
_REQUIRED = ("about", "protocol", "games", "seeds", "steps", "window", "settings")
_OPTIONAL = ("goal", "evaluation_games", "hours", "params")
_OF_SETTINGS = ("algorithm", "conf", "setting", "params")


@dataclass(frozen=True)
class Run:
    """
    One training of a study.

    :param study: its name
    :param algorithm: the zoo's name
    :param setting: for tables; may be empty
    :param conf: of the zoo's -conf, None: its default
    :param params: of the zoo's -params
    :param game: as gymnasium spells it
    :param env: environment
    :param steps: environment steps
    :param window: training episodes that a score averages
    :param goal: mean return at which it stops, None: none
    :param hours: of training after which it stops, None: no limit
    :param evaluation_games: games that must confirm the goal, 0: the training episodes are enough
    """

    study: str
    algorithm: str
    setting: str
    conf: str | None
    params: Mapping[str, Any]
    game: str
    env: str
    seed: int
    steps: int
    window: int
    goal: float | None
    hours: float | None
    evaluation_games: int = 0

    @property
    def name(self) -> str:
        """For people"""
        return f"{' '.join(filter(None, (self.algorithm, self.setting)))}, {self.game}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where the zoo puts its run folder, in the folder of the study"""
        words = re.sub(r"[^\w.-]+", "_", f"{self.algorithm} {self.setting}".strip())
        return Path(words) / f"seed{self.seed}"

    @property
    def resumable(self) -> bool:
        """Whether it writes checkpoints; others begin anew"""
        return self.algorithm in ALGORITHMS

    def begin(self, folder: Path) -> list[str]:
        """
        :param folder: of the study
        :return: the zoo's command
        """
        command = [sys.executable, "-m", "sb3_atari_dqn", "train", "--algo", self.algorithm, "--env", self.env]
        command += ["-conf", self.conf] if self.conf else []
        command += ["-n", str(self.steps), "--seed", str(self.seed), "--eval-freq", "-1", "--log-interval", "10"]
        command += ["-f", str(folder / self.folder)]
        params = {**self.params, **self._callback()}
        return command + (["-params", *(f"{key}:{value!r}" for key, value in params.items())] if params else [])

    def _callback(self) -> dict[str, Any]:
        if self.goal is None:
            return {}
        stop = {"mean_return": self.goal, "episodes": self.window, "verbose": 1}
        stop |= {"evaluation_games": self.evaluation_games} if self.evaluation_games else {}
        return {"callback": [{"sb3_atari_dqn.callbacks.StopAtReturn": stop}]}


def resume(run_folder: Path) -> list[str]:
    """:return: the command that continues a run"""
    return [sys.executable, "-m", "sb3_atari_dqn", "resume", str(run_folder)]


def studies(declarations: Path = DECLARATIONS) -> dict[str, str]:
    """:return: names, and what each is about"""
    return {name: study["about"] for name, study in _read(declarations)["studies"].items()}


def runs_of(name: str, declarations: Path = DECLARATIONS) -> list[Run]:
    """
    :return: of a study, all settings and games of the first seed first
    :raises ValueError: on an unknown study or key, or two runs in one folder
    """
    content = _read(declarations)
    if name not in content["studies"]:
        raise ValueError(f"Unknown study {name!r}; {declarations.name} has {', '.join(content['studies'])}")
    study = content["studies"][name]
    _check_keys(f"study {name}", study, _REQUIRED, _OPTIONAL)
    if study["protocol"] not in content["protocols"]:
        raise ValueError(f"study {name} has protocol {study['protocol']!r}; known: {', '.join(content['protocols'])}")
    protocol = content["protocols"][study["protocol"]]
    runs = [
        _run(name, study, protocol, setting, game, seed)
        for seed in study["seeds"]
        for setting in study["settings"]
        for game in study["games"]
    ]
    places: dict[tuple[Path, str], Run] = {}
    for run in runs:
        if places.setdefault((run.folder, run.game), run) is not run:
            raise ValueError(f"study {name} has {run.name} twice: give one of them another setting")
    return runs


def _run(
    name: str, study: Mapping[str, Any], protocol: Mapping[str, Any], setting: Mapping[str, Any], game: str, seed: int
) -> Run:
    _check_keys(f"a setting of study {name}", setting, ("algorithm",), _OF_SETTINGS)
    conf = setting.get("conf")
    return Run(
        study=name,
        algorithm=setting["algorithm"],
        setting=str(setting.get("setting", conf or "")),
        conf=conf,
        params={**protocol.get("params", {}), **study.get("params", {}), **setting.get("params", {})},
        game=game,
        env=protocol["env"].format(game=game),
        seed=int(seed),
        steps=int(study["steps"]),
        window=int(study["window"]),
        goal=study.get("goal"),
        hours=study.get("hours"),
        evaluation_games=int(study.get("evaluation_games", 0)),
    )


def _check_keys(owner: str, given: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]) -> None:
    if missing := [key for key in required if key not in given]:
        raise ValueError(f"{owner} has no {', '.join(missing)}")
    if unknown := [key for key in given if key not in (*required, *optional)]:
        raise ValueError(f"{owner} has {', '.join(unknown)}; known: {', '.join((*required, *optional))}")


def _read(declarations: Path) -> dict[str, Any]:
    """:raises ValueError: if it is not a file of studies"""
    try:
        content = yaml.safe_load(declarations.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{declarations} cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or not {"protocols", "studies"} <= content.keys():
        raise ValueError(f"{declarations} must have the keys protocols and studies")
    return content
