"""A report as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sb3_atari_dqn.reports.metrics import AGGREGATES, DRAWS
from sb3_atari_dqn.reports.protocol import COLUMNS, TITLES, shown

#: Figure -> caption.
FIGURES = {
    "aggregates.png": "Aggregates of human-normalised scores, 95 % intervals; less is better for the optimality gap",
    "curves.png": "Interquartile mean of human-normalised scores over frames and wall-clock time, 95 % intervals",
    "profiles.png": "Performance profiles: the share of runs with a higher score, with 95 % bands",
    "improvement.png": "Probability that a run of X beats a run of Y on a random game, with 95 % intervals",
}
#: Behind a label: its scores were made under another protocol.
MARK, MINOR_MARK = "‡", "†"


def written(result: Mapping[str, Any], figures: Sequence[str], title: str) -> str:
    """
    :param result: of :func:`~sb3_atari_dqn.reports.analysis.analyse`
    :param figures: files beside the report
    :param title: of the page
    """
    return "\n".join([f"# {title}", "", *_head(result), *_aggregates(result), *_games(result), *_improvement(result),
                      *_protocols(result), *_pictures(figures)])  # fmt: skip


def marked(result: Mapping[str, Any], label: str) -> str:
    """:return: the label, with a mark if its protocol differs from the first one's"""
    if label in result["marks"]["decisive"]:
        return f"{label} {MARK}"
    return f"{label} {MINOR_MARK}" if label in result["marks"]["minor"] else label


def _head(result: Mapping[str, Any]) -> Iterator[str]:
    n = len(result["games"])
    yield f"Scores after {result['frames']:,.0f} frames of {n} game{'s' if n > 1 else ''}."
    yield "Human-normalised: 0 is random play, 1 a human. Intervals: 95 %, percentiles of a stratified bootstrap over"
    yield f"the runs of each game ({DRAWS:,} draws; Agarwal et al. 2021)."
    yield ""
    yield from (f"- {line}" for line in _notes(result))
    yield ""


def _notes(result: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        f"{MARK} **Another protocol, not comparable:** {line}." for line in result["marks"]["decisive"].values()
    )
    yield from (f"{MINOR_MARK} {line}." for line in result["marks"]["minor"].values())
    yield from result["remarks"]
    yield from (f"{label}: {source}." for label, source in result["published"].items())


def _aggregates(result: Mapping[str, Any]) -> Iterator[str]:
    yield from ["## Aggregates", ""]
    yield from _table(["system", *AGGREGATES], [
        [marked(result, label), *(_cell(cells[name]["value"], cells[name]["interval"]) for name in AGGREGATES)]
        for label, cells in result["aggregates"].items()
    ])  # fmt: skip


def _games(result: Mapping[str, Any]) -> Iterator[str]:
    labels = list(result["aggregates"])
    yield from ["## Games", "", "Mean raw score (95 % interval; human-normalised; seeds).", ""]
    rows = []
    for game, row in result["per_game"].items():
        cells = [_game_cell(row["systems"][label]) for label in labels]
        rows.append([game, f"{row['random']:,g}", f"{row['human']:,g}", *cells])
    yield from _table(["game", "random", "human", *(marked(result, label) for label in labels)], rows)


def _game_cell(cell: Mapping[str, Any]) -> str:
    if cell["score"] is None:
        return "-"
    low_high = "" if cell["interval"] is None else " to ".join(_number(each) for each in cell["interval"]) + "; "
    seeds = "" if cell["seeds"] is None else f"; {cell['seeds']}"
    return f"{_number(cell['score'])} ({low_high}{cell['normalised']:.2f}{seeds})"


def _improvement(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["probability_of_improvement"]:
        return
    yield from ["## Probability of improvement", ""]
    yield from _table(["X", "Y", "P(X > Y)"], [
        [marked(result, each["x"]), marked(result, each["y"]), _cell(each["value"], each["interval"])]
        for each in result["probability_of_improvement"]
    ])  # fmt: skip


def _protocols(result: Mapping[str, Any]) -> Iterator[str]:
    yield from ["## Protocols", ""]
    yield from _table(["system", *(TITLES[name] for name in COLUMNS)], [
        [marked(result, label), *(shown(fields[name]) for name in COLUMNS)]
        for label, fields in result["protocols"].items()
    ])  # fmt: skip


def _pictures(figures: Sequence[str]) -> Iterator[str]:
    for name in figures:
        yield from [f"![{FIGURES[name]}]({name})", ""]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _cell(value: float | None, low_high: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + ("" if low_high is None else f" ({low_high[0]:.2f} to {low_high[1]:.2f})")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
