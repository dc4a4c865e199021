"""The panels of the figure. Curves of several runs are drawn as their mean with a band."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sb3_atari_dqn.plotting.groups import Group
from sb3_atari_dqn.plotting.runs import RunLog
from sb3_atari_dqn.plotting.statistics import Curve, band, blocks, running_mean, speed

WINDOW, BLOCK = 100, 10
_MOST_DOTS = 3000  # per run: more would hide the lines
_FEW_DOTS = 200  # per run: up to here dots can be more opaque
_GREY = "0.35"
_HEADROOM = 1.4

#: Maps (environment steps, seconds) to positions on an axis.
Place = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Style:
    """How one group is drawn."""

    colour: str
    dashes: Any


@dataclass(frozen=True)
class Panel:
    """
    :param title: of the panel
    :param label: of the y axis
    :param draw: draws one group on the axes
    :param keys: legend entries for all groups
    :param limits: of the y axis; None: automatic
    """

    title: str
    label: str
    draw: Callable[[Any, Group, Place, Style], None]
    keys: tuple[Any, ...]
    limits: tuple[float, float | None] | None = None


def panels_for(groups: Sequence[Group]) -> list[Panel]:
    """:return: the panels that have data, with their legend entries"""
    runs = [run for one in groups for run in one.runs]
    shared = (Patch(color=_GREY, alpha=0.2, lw=0, label="min to max over runs"),)
    banded = shared if any(len(one.runs) > 1 for one in groups) else ()
    evaluated = (_EVALUATION,) if any(run.evaluations for run in runs) else ()
    value = runs[0].value
    name = value.capitalize()
    panels = [
        Panel(f"{name} of training episodes", value, _draw_returns, (_EPISODE, _RUNNING, *evaluated, *banded)),
        Panel(f"{name} per {BLOCK} episodes", value, _draw_blocks, (_MEAN, _MAXIMUM)),
        Panel("Speed, including evaluations", "env steps / s", _draw_speed, (), (0, _highest_speed(groups))),
    ]
    if any(run.epsilon for run in runs):
        panels.insert(2, Panel("Exploration", "epsilon", _draw_epsilon, (), (0, 1.05)))
    return panels


_EPISODE = Line2D([], [], marker="o", ms=3, color=_GREY, alpha=0.5, lw=0, label="episode")
_RUNNING = Line2D([], [], color=_GREY, lw=2, label=f"mean of the last {WINDOW} (fewer at the start)")
_EVALUATION = Line2D([], [], marker="o", ms=5, color=_GREY, mfc="white", lw=0, label="evaluation mean")
_MEAN = Line2D([], [], color=_GREY, lw=2, label="mean")
_MAXIMUM = Line2D([], [], color=_GREY, lw=1, alpha=0.6, label="maximum")


def _draw_returns(axes: Any, one: Group, place: Place, style: Style) -> None:
    for run in one.runs:
        episodes = run.episodes
        thinned = slice(None, None, max(1, -(-len(episodes.returns) // _MOST_DOTS)))
        along = place(episodes.env_steps, episodes.seconds)[thinned]
        alpha = 0.4 if len(along) > _FEW_DOTS else 0.8
        axes.plot(
            along, episodes.returns[thinned], ".", ms=4.5, mew=0, alpha=alpha, color=style.colour, rasterized=True
        )
        if run.evaluations is not None:
            found = run.evaluations
            places = place(found.env_steps, found.seconds)
            joined = ":" if len(one.runs) == 1 else ""  # lines of several runs would be confusing
            axes.plot(places, found.means, f"o{joined}", ms=5, lw=1, mfc="white", color=style.colour, zorder=5)
    _draw_curves(axes, [_running(run, place) for run in one.runs], style)


def _running(run: RunLog, place: Place) -> Curve:
    return place(run.episodes.env_steps, run.episodes.seconds), running_mean(run.episodes.returns, WINDOW)


def _draw_blocks(axes: Any, one: Group, place: Place, style: Style) -> None:
    found = [
        blocks(place(run.episodes.env_steps, run.episodes.seconds), run.episodes.returns, BLOCK) for run in one.runs
    ]
    _draw_curves(axes, [(each.ends, each.means) for each in found], style, width=1.6)
    _draw_curves(axes, [(each.ends, each.maxima) for each in found], style, width=1, alpha=0.6, with_band=False)


def _draw_epsilon(axes: Any, one: Group, place: Place, style: Style) -> None:
    logged = [run.epsilon for run in one.runs if run.epsilon is not None]
    _draw_curves(axes, [(place(each.env_steps, each.seconds), each.values) for each in logged], style)


def _draw_speed(axes: Any, one: Group, place: Place, style: Style) -> None:
    curves = [_speed(run, place) for run in one.runs]
    _draw_curves(axes, [curve for curve in curves if len(curve[0])], style)


def _speed(run: RunLog, place: Place) -> Curve:
    episodes = run.episodes
    ends, rates = speed(episodes.env_steps, episodes.seconds)
    return place(np.interp(ends, episodes.seconds, episodes.env_steps), ends), rates


def _highest_speed(groups: Sequence[Group]) -> float | None:
    """:return: limit of the y axis: the fast random steps at the start would flatten the rest of the curve"""
    speeds = [_speed(run, _steps)[1] for one in groups for run in one.runs]
    rates = [np.percentile(rates, 90) for rates in speeds if len(rates)]
    return _HEADROOM * max(rates) if rates and max(rates) > 0 else None


def _steps(env_steps: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    return env_steps


def _draw_curves(
    axes: Any, curves: Sequence[Curve], style: Style, width: float = 2, alpha: float = 1, with_band: bool = True
) -> None:
    """:param curves: of the runs of one group"""
    if not curves:
        return
    shown = band(curves)
    marker = "None" if shown.along[0] < shown.along[-1] else "o"  # a line needs two points
    axes.plot(shown.along, shown.mean, marker=marker, color=style.colour, ls=style.dashes, lw=width, alpha=alpha)
    if with_band and len(curves) > 1:
        axes.fill_between(shown.along, shown.low, shown.high, color=style.colour, alpha=0.2, lw=0)
