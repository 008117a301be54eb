"""Paths from the head of a chain down to an action, each with its probability."""

from collections.abc import Container, Iterator
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
            path._replace(pairs=(*path.pairs, *(() if action.is_heir else own))[-PAIRS_MAX:])
            for path in action.given.paths
        )
    if not verdict.links and verdict.cause is Cause.NONE:
        return (Path(own, 1.0, Cause.NONE, action.seq, 0, ""),)
    ways = _merged(verdict, () if action.is_heir else own, actions)
    if not ways:
        return (_unseen(own, 1.0),)
    best = ways[0]
    if verdict.cause is Cause.CORRELATED:
        nobody = 1.0 - sum(link.weight for link in verdict.links)
        if nobody >= NEGLIGIBLE:
            ways = sorted([*ways, _unseen(own, nobody)], key=lambda path: -path.weight)
    elif _is_shared(best, verdict, actions, len(own)):
        ways[0] = best._replace(weight=min(best.weight, verdict.shared_most))
    return tuple(ways)


def _unseen(own: Pairs, weight: float) -> Path:
    """The way from somebody who was not seen."""
    return Path((UNSEEN_PAIR, *own), weight, Cause.UNSEEN, 0, 0, "")


def _merged(verdict: Verdict, own: Pairs, actions: Actions) -> list[Path]:
    """The ways over all parents. Parents that lead to the same head are one way."""
    cause = Cause.CORRELATED if verdict.cause is Cause.AMBIGUOUS else verdict.cause
    merged: dict[Pairs, Path] = {}
    for link in verdict.links:
        parent = actions.get(link.parent)
        if parent is None:
            continue
        for path in parent.paths:
            pairs = (*path.pairs, *own)[-PAIRS_MAX:]
            weight = link.weight * path.weight
            known = merged.get(pairs)
            if known is None:
                merged[pairs] = Path(
                    pairs, weight, max(path.cause, cause), path.head, parent.seq, parent.id
                )
            else:
                merged[pairs] = known._replace(weight=known.weight + weight)
    ways = sorted(merged.values(), key=lambda path: -path.weight)[:PATHS_MAX]
    return [path for path in ways if path.weight >= NEGLIGIBLE] or ways[:1]


def stated(paths: tuple[Path, ...]) -> Stated:
    """The path that may be said: nobody is named of whom several ways, CERTAIN together, differ."""
    best, likely = paths[0], _likely(paths)
    if best.cause is Cause.UNSEEN and best.weight >= CERTAIN:
        return Stated(best.pairs, best.cause, 0.0, best.parent, best.parent_id, ())
    if len(likely) == 1 and _may_stand(best):
        return Stated(best.pairs, best.cause, best.weight, best.parent, best.parent_id, ())
    if len(likely) == 1:
        likely = (best, _unseen(best.pairs[-1:], 1.0 - best.weight))
    return Stated(
        _common(likely), Cause.AMBIGUOUS, best.weight, best.parent, best.parent_id, likely
    )


def below_first(top: Action, drawn: Container[int], actions: Actions) -> Iterator[Action]:
    """What was drawn anew from `top` on, each after all that it led to."""
    order: dict[int, Action] = {}
    left = [top]
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


def _may_stand(path: Path) -> bool:
    return path.weight >= CERTAIN or path.cause in (Cause.NONE, Cause.EXPLICIT)


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
