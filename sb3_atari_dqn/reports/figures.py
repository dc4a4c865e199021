"""The figures of a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from sb3_atari_dqn.plotting.figure import COLOURS, short_number
from sb3_atari_dqn.reports.markdown import marked
from sb3_atari_dqn.reports.metrics import AGGREGATES

_DOTS = (0, (1, 1.5))  # published curves


def drawn(result: Mapping[str, Any]) -> dict[str, bytes]:
    """
    :param result: of :func:`~sb3_atari_dqn.reports.analysis.analyse`
    :return: PNG by file name; without the figure of probabilities if there is one system only
    """
    makers: dict[str, Callable[[Mapping[str, Any]], Figure]] = {
        "aggregates.png": _aggregates,
        "curves.png": _curves,
        "profiles.png": _profiles,
    }
    if result["probability_of_improvement"]:
        makers["improvement.png"] = _improvement
    with rc_context({"text.parse_math": False}):  # a $ in a name must not start a formula
        return {name: _png(maker(result)) for name, maker in makers.items()}


def _png(figure: Figure) -> bytes:
    out = BytesIO()
    figure.savefig(out, dpi=100, format="png")
    return out.getvalue()


def _new(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _colours(result: Mapping[str, Any]) -> dict[str, str]:
    return {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(result["aggregates"])}


def _aggregates(result: Mapping[str, Any]) -> Figure:
    colours, table = _colours(result), result["aggregates"]
    figure = _new(12, 1.3 + 0.4 * len(table))
    axes = figure.subplots(1, len(AGGREGATES), sharey=True, squeeze=False)[0]
    for cell, name in zip(axes, AGGREGATES, strict=True):
        rows = [(table[label][name]["value"], table[label][name]["interval"], colours[label]) for label in table]
        _points(cell, rows, [marked(result, label) for label in table])
        cell.set_title(name, fontsize=10, loc="left")
    figure.supxlabel(f"human-normalised score after {result['frames']:,.0f} frames", fontsize=10)
    return figure


def _points(axes: Any, rows: Sequence[tuple[float | None, Sequence[float] | None, str]], names: Sequence[str]) -> None:
    """Draw one value with its interval per row, the first on top."""
    axes.use_sticky_edges = False  # a bar would end at the axis
    for place, (value, low_high, colour) in enumerate(rows):
        if low_high is not None:
            axes.barh(place, low_high[1] - low_high[0], left=low_high[0], height=0.55, color=colour, alpha=0.3, lw=0)
        if value is not None:
            axes.plot([value, value], [place - 0.28, place + 0.28], color=colour, lw=2.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    _plain(axes)


def _profiles(result: Mapping[str, Any]) -> Figure:
    figure = _new(7, 4)
    axes = figure.subplots()
    along, colours = result["profiles"]["thresholds"], _colours(result)
    for label, line in result["profiles"]["systems"].items():
        _line(axes, along, line, colours[label], marked(result, label))
    axes.set(xlabel="human-normalised score τ", ylabel="share of runs with a score above τ", ylim=(-0.02, 1.02))
    axes.legend(frameon=False, fontsize=8)
    _plain(axes)
    return figure


def _curves(result: Mapping[str, Any]) -> Figure:
    panels = 2 if result["by_hours"] else 1  # without wall-clock times, frames alone
    figure = _new(12 if panels == 2 else 7, 4.4)
    left, *rest = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    colours = _colours(result)
    for label, line in result["by_frames"].items():
        _line(left, line["along"], line, colours[label], marked(result, label), label in result["published"])
    games = result["games"]
    about = games[0] if len(games) == 1 else f"{len(games)} games"
    left.set(xlabel="frames", ylabel=f"IQM of human-normalised scores, {about}", xlim=(0, result["frames"]))
    left.xaxis.set_major_formatter(FuncFormatter(short_number))
    for right in rest:
        for label, line in result["by_hours"].items():
            _line(right, line["along"], line, colours[label], marked(result, label))
        right.set(xlabel="wall-clock time (hours)")
        right.set_xlim(left=0)
    for axes in (left, *rest):
        _plain(axes)
    handles = [
        Line2D([], [], color=colours[label], lw=2.5, ls=_DOTS if label in result["published"] else "-",
               label=marked(result, label))
        for label, line in result["by_frames"].items() if line["along"]
    ]  # fmt: skip
    columns = 1 if max(len(label) for label in colours) > 40 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)
    return figure


def _line(
    axes: Any, along: Sequence[float], line: Mapping[str, Any], colour: str, label: str, published: bool = False
) -> None:
    marker = "o" if len(along) == 1 else None
    axes.plot(along, line["value"], color=colour, lw=2, ls=_DOTS if published else "-", marker=marker, label=label)
    if line["low"] is not None:
        axes.fill_between(along, line["low"], line["high"], color=colour, alpha=0.2, lw=0)


def _improvement(result: Mapping[str, Any]) -> Figure:
    pairs, colours = result["probability_of_improvement"], _colours(result)
    figure = _new(9, 1.2 + 0.4 * len(pairs))
    axes = figure.subplots()
    rows = [(each["value"], each["interval"], colours[each["x"]]) for each in pairs]
    _points(axes, rows, [f"{marked(result, each['x'])}  >  {marked(result, each['y'])}" for each in pairs])
    axes.axvline(0.5, color="0.5", lw=1, ls="--")
    axes.set(xlim=(-0.02, 1.02), xlabel="P(X > Y)")
    return figure


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.25, lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
