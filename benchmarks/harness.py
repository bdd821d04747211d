"""Rows of the benchmark: two ways to do one thing, in turns in one process on one thread.

A row is a function that makes both ways ready:

    @row("heatmaps", goal=5, against="a loop over joints")
    def heatmaps() -> Pair:
        ...
        return Pair(baseline, ours, equal, "batches of 32 people")

The baseline stands in this folder, written as the peers write it. Its ratio to ours is that of the
median costs: how many times faster or smaller ours is.
"""

import resource
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Way = Callable[[], Any]


class NotHere(Exception):
    """A row cannot be measured on this machine; the message says why."""


@dataclass(frozen=True)
class Pair:
    """Two ways to do one thing.

    Attributes:
        baseline: as the peers do it.
        ours: as posekit does it.
        equal: what both return -> how close that is, in words; AssertionError where it differs.
        data: what is worked on, one phrase.
        cost: a name in `COSTS`: "user" seconds (of the processor, of this process), "cpu" (with
            those of the system), "children" (user seconds, ended child processes included), or
            "value": the numbers that both ways return, whatever `unit` says.
        unit: of the cost.
        notes: further results in words, asked after the last round.
    """

    baseline: Way
    ours: Way
    equal: Callable[[Any, Any], str]
    data: str
    cost: str = "user"
    unit: str = "s"
    notes: Callable[[], str] = str


@dataclass(frozen=True)
class Row:
    """A registered row: its key, the least ratio wanted, and what it is held against."""

    key: str
    goal: float
    against: str
    rounds: int
    seconds: float
    prepare: Callable[[], Pair]


@dataclass(frozen=True)
class Growth:
    """Work whose time and memory are drawn over the number of people."""

    key: str
    prepare: Callable[[int], Way]


ROWS: dict[str, Row] = {}
GROWTHS: dict[str, Growth] = {}


def row(key: str, goal: float, against: str, rounds: int = 7, seconds: float = 0.3) -> Callable:
    """Register a function without arguments that returns a `Pair`.

    Args:
        key: of the row in `ratios`.
        goal: the least ratio wanted.
        against: what the baseline is, one phrase.
        rounds: times that both are measured, in turns, after one call each to warm up.
        seconds: work that lasts less is repeated until a measurement has so many.
    """

    def register(prepare: Callable[[], Pair]) -> Callable[[], Pair]:
        ROWS[key] = Row(key, goal, against, rounds, seconds, prepare)
        return prepare

    return register


def growth(key: str) -> Callable:
    """Register a function that makes work on n people ready and returns it."""

    def register(prepare: Callable[[int], Way]) -> Callable[[int], Way]:
        GROWTHS[key] = Growth(key, prepare)
        return prepare

    return register


def _user() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _children() -> float:
    return _user() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime


COSTS = {"user": _user, "cpu": _cpu, "children": _children}


def measure(one: Row) -> dict[str, Any]:
    """Both ways of a row in turns; costs, ratio, spread and equality as plain values."""
    pair = one.prepare()
    ways = {"baseline": pair.baseline, "ours": pair.ours}
    results, calls, clock = [], {}, COSTS.get(pair.cost, _user)
    for name, way in ways.items():
        start = clock()
        results.append(way())
        repeats = one.seconds / max(clock() - start, 1e-5)
        calls[name] = 1 if pair.cost == "value" else max(1, round(repeats))
    equality, equal = "", True
    try:
        equality = pair.equal(*results)
    except AssertionError as error:
        equality, equal = f"DIFFERS: {error}", False
    del results
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(one.rounds):
        for name, way in ways.items():
            costs[name].append(_cost(way, pair.cost, calls[name]))
    ratios = [a / b for a, b in zip(costs["baseline"], costs["ours"], strict=True)]
    ratio = statistics.median(costs["baseline"]) / statistics.median(costs["ours"])
    return {
        "ratio": ratio,
        "met": bool(ratio >= one.goal and equal),
        "data": pair.data,
        "cost": pair.cost,
        "unit": pair.unit,
        "rounds": one.rounds,
        "calls": calls,
        **{name: _spread(values) for name, values in costs.items()},
        "ratio_spread": _spread(ratios),
        "equal": equal,
        "equality": equality,
        "notes": pair.notes(),
    }


def _cost(way: Way, cost: str, calls: int) -> float:
    """The cost of one call."""
    if cost == "value":
        return float(way())
    start = COSTS[cost]()
    for _ in range(calls):
        way()
    return (COSTS[cost]() - start) / calls


def _spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}
