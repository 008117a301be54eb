"""Paths from the head of a chain down to an action, each with its probability."""

from collections.abc import Container, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from sensor.correlate.actions import Action, Actions, Cause, Pair, Pairs, Path, Verdict

UNSEEN_PAIR: Pair = ("", "")  # written "?:?"
# Real delegation has three to five levels; deeper is a loop of keys.
PAIRS_MAX = 16
# Ways that are kept; what is left out stays unsaid probability.
PATHS_MAX = 16
NEGLIGIBLE = 0.005
CERTAIN = 0.95  # nobody is named alone below it, but by a key


class Stated(NamedTuple):
    """What a record says of the ways that are possible."""

    pairs: Pairs
    cause: Cause
    confidence: float
    parent: int
    parent_id: str
    candidates: tuple[Path, ...]


def paths_of(action: Action, verdict: Verdict, own: Pairs, actions: Actions) -> tuple[Path, ...]:
    """Every way down to the action, the most probable first.

    `own` is the action's own end: its user, after those who impersonate him.
    """
    if action.given is not None:
        return tuple(
            path._replace(pairs=joined(path.pairs, () if action.is_heir else own))
            for path in action.given.paths
        )
    if not verdict.links and verdict.cause is Cause.NONE:
        return (Path(own, 1.0, Cause.NONE, action.seq, 0, ""),)
    ways = _merged(verdict, () if action.is_heir else own, actions)
    if verdict.alone:
        ways = [Path(own, verdict.alone, Cause.NONE, action.seq, 0, ""), *ways]
        return tuple(sorted(ways, key=lambda path: -path.weight))
    if not ways:
        return (_unseen(own, 1.0),)
    best = ways[0]
    if verdict.cause is Cause.CORRELATED:
        nobody = 1.0 - sum(link.weight for link in verdict.links)
        if nobody >= NEGLIGIBLE:
            ways = sorted([*ways, _unseen(own, nobody)], key=lambda path: -path.weight)
    elif verdict.rivals and _is_shared(best, verdict, actions, len(own)):
        ways[0] = best._replace(weight=min(best.weight, verdict.shared_most))
    return tuple(ways)


def _unseen(own: Pairs, weight: float) -> Path:
    """The way from somebody who was not seen."""
    return Path((UNSEEN_PAIR, *own), weight, Cause.UNSEEN, 0, 0, "")


def _merged(verdict: Verdict, own: Pairs, actions: Actions) -> list[Path]:
    """The ways over all parents. Parents that lead to the same head are one way."""
    found: list[Path] = []
    for parent, weight in verdict.links:
        action = actions.get(parent)
        if action is not None:
            found += [_onward(path, action, own, weight, verdict.cause) for path in action.paths]
    if len(found) <= 1:
        return found
    merged: dict[Pairs, Path] = {}
    for path in found:
        same = merged.get(path.pairs)
        if same is not None:
            path = same._replace(weight=same.weight + path.weight)
        merged[path.pairs] = path
    ways = sorted(merged.values(), key=lambda path: -path.weight)[:PATHS_MAX]
    return [path for path in ways if path.weight >= NEGLIGIBLE] or ways[:1]


def _onward(above: Path, parent: Action, own: Pairs, weight: float, cause: Cause) -> Path:
    """The way goes on from the parent; it rests on whatever is weakest of it."""
    cause = Cause.CORRELATED if cause is Cause.AMBIGUOUS else cause
    return Path(
        joined(above.pairs, own),
        weight * above.weight,
        cause if cause > above.cause else above.cause,
        above.head,
        parent.seq,
        parent.id,
    )


@lru_cache(maxsize=16384)  # people come back: their paths are kept once, and compared by identity
def joined(above: Pairs, below: Pairs) -> Pairs:
    return (*above, *below)[-PAIRS_MAX:]


def stated(paths: tuple[Path, ...]) -> Stated:
    """The path that may be said: nobody is named of whom several ways, CERTAIN together, differ."""
    best = paths[0]
    if best.weight >= CERTAIN:
        confidence = best.weight if best.cause is not Cause.UNSEEN else 0.0
        return Stated(best.pairs, best.cause, confidence, best.parent, best.parent_id, ())
    likely = _likely(paths)
    if len(likely) == 1 and best.cause in (Cause.NONE, Cause.EXPLICIT):  # a key may be weaker
        return Stated(best.pairs, best.cause, best.weight, best.parent, best.parent_id, ())
    if len(likely) == 1:
        likely = (best, _unseen(best.pairs[-1:], 1.0 - best.weight))
    return Stated(
        _common(likely), Cause.AMBIGUOUS, best.weight, best.parent, best.parent_id, likely
    )


def below_first(
    tops: Iterable[Action], drawn: Container[int], actions: Actions
) -> Iterator[Action]:
    """What was drawn anew from `tops` on, each after all that it led to."""
    order: dict[int, Action] = {}
    left = sorted(tops, key=lambda top: (top.call.time_ns, top.seq), reverse=True)
    while left:
        action = left.pop()
        if action.seq in drawn and action.seq not in order:
            order[action.seq] = action
            left += filter(None, map(actions.get, action.children))
    return reversed(order.values())


def gist(action: Action) -> tuple[object, ...]:
    """What a new record about the action would have to differ in."""
    if not action.paths:
        return ()
    view = stated(action.paths)
    seen = (action.outcome, action.fault, action.client, action.guest, action.moved)
    return (view.pairs, view.cause, view.parent, action.is_provisional, *seen)


def _likely(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """The fewest that are CERTAIN together."""
    total = 0.0
    for count, path in enumerate(paths, 1):
        total += path.weight
        if total >= CERTAIN:
            return paths[:count]
    return paths


def _common(paths: tuple[Path, ...]) -> Pairs:
    """Counted from the action upwards: service and user where all ways agree, else ""."""
    pairs = []
    for level in zip(*(reversed(path.pairs) for path in paths), strict=False):
        services, users = {service for service, _ in level}, {user for _, user in level}
        pairs.append(
            (
                services.pop() if len(services) == 1 else "",
                users.pop() if len(users) == 1 else "",
            )
        )
    return tuple(reversed(pairs))


def _is_shared(best: Path, verdict: Verdict, actions: Actions, own: int) -> bool:
    """Would another action with the same key lead to another head?"""
    for seq in verdict.rivals:
        rival = actions.get(seq)
        if rival is not None and any(path.pairs != best.pairs[:-own] for path in rival.paths):
            return True
    return False
