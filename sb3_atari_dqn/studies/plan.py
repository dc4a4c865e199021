"""What a study is: its runs, and which command of the zoo each of them is."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_atari_dqn.catalogue import ALGORITHMS
from sb3_atari_dqn.studies.declarations import checked_study, read_studies


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
    :param evaluation_games: games that must confirm the goal, 0: the training episodes are enough
    :param hours: of training after which it stops, None: no limit
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
    def system(self) -> str:
        """Algorithm and setting, for people"""
        return " ".join(filter(None, (self.algorithm, self.setting)))

    @property
    def name(self) -> str:
        """For people"""
        return f"{self.system}, {self.game}, seed {self.seed}"

    @property
    def folder(self) -> Path:
        """Where the zoo puts its run folder, in the folder of the study"""
        return Path(re.sub(r"[^\w.-]+", "_", self.system)) / f"seed{self.seed}"

    @property
    def resumable(self) -> bool:
        """Whether it writes checkpoints; others begin anew"""
        return self.algorithm in ALGORITHMS

    @property
    def settings(self) -> dict[str, Any]:
        """What a run that has begun goes on with, whatever the declaration says later"""
        return {
            "algorithm": self.algorithm,
            "conf": self.conf,
            "env": self.env,
            "steps": self.steps,
            "params": {**self.params, **self._callbacks()},
        }

    def begin(self, folder: Path) -> list[str]:
        """
        :param folder: of the study
        :return: the zoo's command
        """
        command = [sys.executable, "-m", "sb3_atari_dqn", "train", "--algo", self.algorithm, "--env", self.env]
        command += ["-conf", self.conf] if self.conf else []
        command += ["-n", str(self.steps), "--seed", str(self.seed), "--eval-freq", "-1", "--log-interval", "10"]
        command += ["-f", str(folder / self.folder)]
        params = self.settings["params"]
        return command + (["-params", *(f"{key}:{value!r}" for key, value in params.items())] if params else [])

    def _callbacks(self) -> dict[str, Any]:
        """:return: of the declaration, and behind them the one that stops at the goal"""
        if self.goal is None:
            return {}
        stop = {"mean_return": self.goal, "episodes": self.window, "verbose": 1}
        stop |= {"evaluation_games": self.evaluation_games} if self.evaluation_games else {}
        declared = self.params.get("callback") or []
        declared = declared if isinstance(declared, list) else [declared]
        return {"callback": [*declared, {"sb3_atari_dqn.callbacks.StopAtReturn": stop}]}


def resume(run_folder: Path) -> list[str]:
    """:return: the command that continues a run"""
    return [sys.executable, "-m", "sb3_atari_dqn", "resume", str(run_folder)]


def studies(file: Path) -> dict[str, str]:
    """
    :param file: of studies
    :return: names, and what each is about
    :raises ValueError: if it is not such a file
    """
    return {
        name: str(study.get("about", "")) if isinstance(study, dict) else ""
        for name, study in read_studies(file)[1].items()
    }


def name_of(name: str | None, file: Path) -> str:
    """
    :param name: of a study, None: the only one
    :raises ValueError: if the file has no such study, or several and no name was given
    """
    known = read_studies(file)[1]
    if name is None and len(known) > 1:
        raise ValueError(f"{file} has several studies, {', '.join(known)}: choose one with --name")
    if name is not None and name not in known:
        raise ValueError(f"Unknown study {name!r}; {file.name} has {', '.join(known)}")
    return name or next(iter(known))


def runs_of(name: str, file: Path) -> list[Run]:
    """
    :param name: of a study
    :param file: of studies
    :return: its runs, all settings and games of the first seed first
    :raises ValueError: on an unknown study, a wrong key, or two runs in one folder
    """
    protocols, known = read_studies(file)
    study = checked_study(name, known[name_of(name, file)], protocols)
    runs = [
        _run(name, study, setting, game, seed, file.absolute().parent)
        for seed in study["seeds"]
        for setting in study["settings"]
        for game in study["games"]
    ]
    places: dict[tuple[Path, str], Run] = {}
    for run in runs:
        if places.setdefault((run.folder, run.game), run) is not run:
            raise ValueError(f"study {name} has {run.name} twice: give one of them another setting")
    return runs


def _run(name: str, study: Mapping[str, Any], setting: Mapping[str, Any], game: str, seed: int, beside: Path) -> Run:
    return Run(
        study=name,
        algorithm=setting["algorithm"],
        setting=setting["setting"],
        conf=_conf(f"study {name}: a setting", setting["conf"], beside),
        params={**study["protocol"]["params"], **study["params"], **setting["params"]},
        game=game,
        env=study["protocol"]["env"].format(game=game),
        seed=seed,
        steps=study["steps"],
        window=study["window"],
        goal=study["goal"],
        hours=study["hours"],
        evaluation_games=study["evaluation_games"],
    )


def _conf(where: str, conf: str | None, beside: Path) -> str | None:
    """
    :param beside: folder that relative paths begin at, since runs may have another working directory
    :raises ValueError: if it is a file that is not there
    """
    if conf is None or not conf.endswith((".yml", ".yaml", ".py")):
        return conf
    if not (beside / conf).is_file():
        raise ValueError(f"{where} has conf {conf}, but there is no file {beside / conf}: correct the path")
    return str(beside / conf)
