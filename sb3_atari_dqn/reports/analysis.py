"""Everything a report says, as one mapping of plain values, from which its files are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from sb3_atari_dqn.reports import metrics
from sb3_atari_dqn.reports.curves import TOLERANCE, Curve
from sb3_atari_dqn.reports.human import human_scores, normalised
from sb3_atari_dqn.reports.protocol import Protocol, check_comparable, marks, one_of
from sb3_atari_dqn.reports.published import Published

_POINTS = 40  # of a curve
_CURVE_DRAWS = 1000
_THRESHOLDS = 81
_LARGE_SHARE = 0.5
_MOST_NAMED = 5  # games in a remark


@dataclass(frozen=True)
class System:
    """
    All runs of one algorithm and setting.

    :param games: runs of each game, those that every system has first
    """

    label: str
    protocol: Protocol
    games: dict[str, list[Curve]]


def systems_of(curves: Sequence[Curve]) -> list[System]:
    """:return: in the order of the curves, games sorted"""
    together: dict[str, list[Curve]] = {}
    for curve in curves:
        together.setdefault(curve.system, []).append(curve)
    found = []
    for label, own in together.items():
        games = {game: [curve for curve in own if curve.game == game] for game in sorted({c.game for c in own})}
        found.append(System(label, one_of([curve.protocol for curve in own], label), games))
    return found


def analyse(
    curves: Sequence[Curve], published: Sequence[Published], frames: float | None, across_protocols: bool
) -> dict[str, Any]:
    """
    :param curves: of all runs
    :param published: to lay over
    :param frames: at which scores are compared; None: as many as every run has
    :param across_protocols: mark differences of protocols instead of raising
    :raises ValueError: on protocols that differ, no common game, a game without human score, or a run that is shorter
    """
    systems = systems_of(curves)
    games = _common_games(systems)
    for game in games:
        normalised(game, np.zeros(1))
    protocols = {**{each.label: each.protocol for each in systems}, **{each.label: each.protocol for each in published}}
    if not across_protocols:
        check_comparable(protocols)
    at = _frames(systems, games, frames)
    rng = np.random.default_rng(0)
    raw = {each.label: _scores(each, games, at) for each in systems}
    scores = {label: [normalised(g, s) for g, s in zip(games, own, strict=True)] for label, own in raw.items()}
    positions = {label: metrics.resample(own, rng) for label, own in scores.items()}
    whole = {label: all(len(game) > 1 for game in own) for label, own in scores.items()}
    return {
        "frames": at,
        "games": games,
        "systems": [each.label for each in systems],
        "published": {each.label: each.source for each in published},
        "protocols": {label: asdict(protocol) for label, protocol in protocols.items()},
        "marks": {"decisive": marks(protocols, True), "minor": marks(protocols, False)},
        "remarks": [*_remarks(systems, games, whole, at, curves), *_published_remarks(published, games, at)],
        "per_game": _per_game(games, raw, published, at, rng),
        "aggregates": {
            **{label: _aggregates(own, positions[label], whole[label]) for label, own in scores.items()},
            **{each.label: _published_aggregates(each, games, at) for each in published},
        },
        "profiles": _profiles(scores, positions, whole),
        "probability_of_improvement": _improvements(scores, positions, whole),
        "by_frames": _curves_by_frames(systems, games, published, at, rng),
        "by_hours": _curves_by_hours(systems, games, rng),
    }


def _common_games(systems: Sequence[System]) -> list[str]:
    """:raises ValueError: if there is none"""
    first = systems[0]
    common = [game for game in first.games if all(game in each.games for each in systems)]
    if not common:
        other = next(each for each in systems if not set(each.games) & set(first.games) or each is systems[-1])
        raise ValueError(
            f"No game was played by all of {', '.join(each.label for each in systems)}: {first.label} played "
            f"{', '.join(first.games)}, {other.label} {', '.join(other.games)}; report them separately"
        )
    return common


def _frames(systems: Sequence[System], games: Sequence[str], asked: float | None) -> float:
    """:raises ValueError: if a run has fewer than asked for, or no score yet"""
    runs = [curve for each in systems for game in games for curve in each.games[game]]
    shortest = min(runs, key=lambda curve: curve.reach)
    if asked is None:
        longest = max(curve.frames[-1] for curve in runs)
        asked = float(min(shortest.reach, longest))
    elif shortest.reach * (1 + TOLERANCE) < asked:
        raise ValueError(
            f"{shortest.system}, {shortest.game}, seed {shortest.seed} has {shortest.frames[-1]:,.0f} frames, not "
            f"{asked:,.0f} ({shortest.source}): give fewer --frames, finish the run or leave it out"
        )
    late = next((curve for curve in runs if curve.frames[0] > asked), None)
    if late is not None:
        raise ValueError(
            f"{late.system}, {late.game}, seed {late.seed} has its first score at {late.frames[0]:,.0f} frames, and "
            f"{asked:,.0f} are compared: give more --frames, or leave {late.source} or the shortest run out"
        )
    return float(asked)


def _scores(system: System, games: Sequence[str], at: float) -> list[np.ndarray]:
    place = np.array([at])
    return [np.array([curve.at(place)[0] for curve in system.games[game]]) for game in games]


def _remarks(
    systems: Sequence[System], games: Sequence[str], whole: Mapping[str, bool], at: float, curves: Sequence[Curve]
) -> Iterator[str]:
    for each in systems:
        single = [game for game in games if len(each.games[game]) == 1]
        if single:
            yield f"{each.label} has one seed only of {', '.join(single)}: no interval of its aggregates."
        if extra := [game for game in each.games if game not in games]:
            yield f"{', '.join(extra)} left out of the comparison: not every system played it ({each.label} did)."
        if len({len(each.games[game]) for game in games}) > 1:
            yield f"{each.label} has different numbers of seeds per game: its IQM weighs games by them."
        stopped = [c for game in games for c in each.games[game] if c.at_goal and c.frames[-1] < at]
        if stopped:
            yield (
                f"{len(stopped)} of {sum(len(each.games[game]) for game in games)} runs of {each.label} stopped at "
                "their goal earlier, and count with their last score from then on."
            )
    if len(windows := {curve.episodes for curve in curves if curve.episodes}) > 1:
        counted = ", ".join(f"{window}" for window in sorted(windows))
        yield f"Training scores average different numbers of episodes ({counted})."
    wide = max((curve.share for curve in curves), default=0.0)
    if wide > _LARGE_SHARE:
        yield f"A score averages up to {wide:.0%} of the episodes of its run: lower --window for scores nearer its end."


def _published_remarks(published: Sequence[Published], games: Sequence[str], at: float) -> Iterator[str]:
    for each in published:
        if absent := [game for game in games if each.at(game, at) is None]:
            missing = ", ".join(absent[:_MOST_NAMED])
            missing += f" and {len(absent) - _MOST_NAMED} more games" if len(absent) > _MOST_NAMED else ""
            yield f"{each.label} has no published score of {missing} at {at:,.0f} frames: no aggregates of it."
        elif not each.has_point(at):
            yield f"{each.label} at {at:,.0f} frames is interpolated between published points."


def _interval(values: np.ndarray, known: bool) -> list[float] | None:
    return [float(each) for each in metrics.interval(values)] if known else None


def _per_game(
    games: Sequence[str],
    raw: Mapping[str, list[np.ndarray]],
    published: Sequence[Published],
    at: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for place, game in enumerate(games):
        random, human = human_scores()[game]
        cells: dict[str, Any] = {}
        for label, scores in raw.items():
            own = scores[place]
            draws = metrics.drawn([own], metrics.resample([own], rng))[0].mean(axis=1)
            cells[label] = {
                "score": float(own.mean()),
                "interval": _interval(draws, len(own) > 1),
                "normalised": float(normalised(game, own).mean()),
                "seeds": len(own),
            }
        for each in published:
            score = each.at(game, at)
            value = None if score is None else float(normalised(game, np.array(score)))
            cells[each.label] = {"score": score, "interval": None, "normalised": value, "seeds": None}
        table[game] = {"random": random, "human": human, "systems": cells}
    return table


def _aggregates(scores: metrics.Scores, positions: Sequence[np.ndarray], known: bool) -> dict[str, Any]:
    draws = metrics.drawn(scores, positions)
    return {
        name: {"value": float(function(scores)), "interval": _interval(function(draws), known)}
        for name, function in metrics.AGGREGATES.items()
    }


def _published_aggregates(each: Published, games: Sequence[str], at: float) -> dict[str, Any]:
    """:return: over game means, without intervals; None unless every game is published at this number of frames"""
    found = [each.at(game, at) for game in games]
    if None in found:
        return {name: {"value": None, "interval": None} for name in metrics.AGGREGATES}
    scores = [normalised(game, np.array([score])) for game, score in zip(games, found, strict=True)]
    return {name: {"value": float(f(scores)), "interval": None} for name, f in metrics.AGGREGATES.items()}


def _profiles(
    scores: Mapping[str, list[np.ndarray]], positions: Mapping[str, list[np.ndarray]], whole: Mapping[str, bool]
) -> dict[str, Any]:
    everything = np.concatenate([game for own in scores.values() for game in own])
    thresholds = np.linspace(min(0.0, everything.min()), max(1.0, np.percentile(everything, 95)), _THRESHOLDS)
    curves: dict[str, Any] = {}
    for label, own in scores.items():
        band = metrics.interval(metrics.drawn_profiles(own, positions[label], thresholds)) if whole[label] else None
        curves[label] = _lines(metrics.performance_profile(own, thresholds), band)
    return {"thresholds": thresholds.tolist(), "systems": curves}


def _lines(values: np.ndarray, band: np.ndarray | None) -> dict[str, Any]:
    low, high = (None, None) if band is None else (band[0].tolist(), band[1].tolist())
    return {"value": values.tolist(), "low": low, "high": high}


def _improvements(
    scores: Mapping[str, list[np.ndarray]], positions: Mapping[str, list[np.ndarray]], whole: Mapping[str, bool]
) -> list[dict[str, Any]]:
    found = []
    for x, y in combinations(scores, 2):
        draws = metrics.drawn_probabilities(scores[x], scores[y], positions[x], positions[y])
        value = metrics.probability_of_improvement(scores[x], scores[y])
        found.append({"x": x, "y": y, "value": value, "interval": _interval(draws, whole[x] and whole[y])})
    return found


def _curves_by_frames(
    systems: Sequence[System], games: Sequence[str], published: Sequence[Published], at: float, rng: np.random.Generator
) -> dict[str, Any]:
    along = np.linspace(at / _POINTS, at, _POINTS)
    result = {each.label: _iqm_curve(each, games, along, Curve.at, rng) for each in systems}
    for each in published:
        points = sorted({*along, *(x for x in next(iter(each.games.values()))[0] if x <= at)})
        values = [(x, _published_aggregates(each, games, x)["IQM"]["value"]) for x in points]
        known = [(x, value) for x, value in values if value is not None]
        result[each.label] = {
            "along": [float(x) for x, _ in known],
            **_lines(np.array([value for _, value in known]), None),
        }
    return result


def _curves_by_hours(systems: Sequence[System], games: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for each in systems:
        runs = [curve for game in games for curve in each.games[game]]
        times = [curve.seconds for curve in runs if curve.seconds is not None]
        if len(times) < len(runs):
            continue
        running = [curve.seconds[-1] for curve in runs if curve.seconds is not None and not curve.at_goal]
        end = float(min(running) if running else max(seconds[-1] for seconds in times))
        along = np.linspace(end / _POINTS, end, _POINTS)
        line = _iqm_curve(each, games, along, Curve.after, rng)
        result[each.label] = {**line, "along": [x / 3600 for x in line["along"]]}
    return result


def _iqm_curve(
    system: System, games: Sequence[str], along: np.ndarray, read: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """:return: IQM where every run has a score, with a pointwise interval: the same draws of runs at all points"""
    tables = [normalised(game, np.stack([read(curve, along) for curve in system.games[game]])) for game in games]
    present = ~np.any([np.isnan(table).any(axis=0) for table in tables], axis=0)
    places = np.flatnonzero(present)
    positions = metrics.resample([table[:, 0] for table in tables], rng, _CURVE_DRAWS)
    known = all(len(table) > 1 for table in tables)
    points = [[table[:, place] for table in tables] for place in places]
    values = np.array([metrics.iqm(scores) for scores in points])
    bands = [metrics.interval(metrics.iqm(metrics.drawn(scores, positions))) for scores in points] if known else []
    return {"along": along[present].tolist(), **_lines(values, np.array(bands).T if bands else None)}
