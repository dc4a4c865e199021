"""The figure: rows of panels, plotted against environment steps (left) and wall-clock time (right)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sb3_atari_dqn.plotting.groups import Group
from sb3_atari_dqn.plotting.panels import Panel, Place, Style, panels_for

#: Okabe and Ito's colour-blind safe palette; further groups repeat it with other dashes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1)))
_LONG_LABEL = 30
_UNITS = ((2 * 86_400, 86_400, "days"), (2 * 3_600, 3_600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))


def draw(groups: Sequence[Group], out: IO[bytes]) -> None:
    """
    :param groups: of one environment
    :param out: gets the PNG
    """
    with rc_context({"text.parse_math": False}):  # a $ in a name must not start a formula
        _figure(groups).savefig(out, dpi=100, format="png")


def _figure(groups: Sequence[Group]) -> Figure:
    panels = panels_for(groups)
    figure = Figure(figsize=(12, 1.2 + 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(panels), 2, sharex="col", sharey="row", squeeze=False)
    unit, seconds = _time_unit(groups)
    columns: list[tuple[str, Place]] = [
        (_steps_label(groups), lambda env_steps, _: env_steps),
        (f"wall-clock time ({unit})", lambda _, elapsed: elapsed / seconds),
    ]
    for row, panel in zip(grid, panels, strict=True):
        for cell, (_, place) in zip(row, columns, strict=True):
            _fill(cell, panel, groups, place)
        row[0].set_title(panel.title, fontsize=10, loc="left")
        row[0].set_ylabel(panel.label)
        if panel.limits is not None:
            row[0].set_ylim(panel.limits)
        if panel.keys:
            _explain(row[1], panel.keys)
    for cell, (label, _) in zip(grid[-1], columns, strict=True):
        cell.set_xlabel(label)
        cell.set_xlim(left=0)
        cell.xaxis.set_major_locator(MaxNLocator(7))
    grid[-1][0].xaxis.set_major_formatter(FuncFormatter(short_number))
    figure.align_ylabels(grid[:, 0])
    _head(figure, groups)
    return figure


def short_number(value: float, _: Any = None) -> str:
    """:return: 250k for 250000, 1.5M for 1500000"""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _fill(axes: Any, panel: Panel, groups: Sequence[Group], place: Place) -> None:
    for number, one in enumerate(groups):
        panel.draw(axes, one, place, _style(number))
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _explain(axes: Any, keys: Sequence[Any]) -> None:
    """Draw the legend above the panel; inside, it would cover data."""
    places = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0, "ncols": len(keys)}
    legend = axes.legend(handles=keys, **places, fontsize=8, frameon=False, columnspacing=1.2, handletextpad=0.5)
    legend.set_in_layout(False)  # a long one would push the panels apart; there is room above the left panel


def _time_unit(groups: Sequence[Group]) -> tuple[str, int]:
    longest = max(run.episodes.seconds[-1] for one in groups for run in one.runs)
    return next((name, size) for least, size, name in _UNITS if longest >= least)


def _steps_label(groups: Sequence[Group]) -> str:
    """:return: axis label with the frames per step, if the runs' files say"""
    held = {run.settings.frames_held for one in groups for run in one.runs}
    if None in held:
        return "environment steps (as counted in the run's files)"
    if held == {(1, 1)}:
        return "environment steps"
    frames = [f"{least}" if least == most else f"{least} to {most}" for least, most in sorted(filter(None, held))]
    return f"environment steps ({' or '.join(frames)} frames each)"


def _head(figure: Figure, groups: Sequence[Group]) -> None:
    handles = []
    for number, one in enumerate(groups):
        runs = f" ({len(one.runs)} runs)" if len(one.runs) > 1 else ""
        style = _style(number)
        handles.append(Line2D([], [], color=style.colour, ls=style.dashes, lw=3, label=_visible(f"{one.label}{runs}")))
    columns = 1 if max(len(one.label) for one in groups) > _LONG_LABEL else min(len(groups), 4)
    title = groups[0].runs[0].settings.env_id
    legend = figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, title=title)
    legend.get_title().set(fontsize=14, fontweight="bold")


def _visible(label: str) -> str:
    """:return: the same, but visible in a legend, which hides labels that start with _"""
    return f" {label}" if label.startswith("_") else label


def _style(number: int) -> Style:
    return Style(COLOURS[number % len(COLOURS)], _DASHES[number // len(COLOURS) % len(_DASHES)])
