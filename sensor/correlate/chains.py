"""Paths from the head of a chain down to an action, each with its probability."""

from typing import NamedTuple

from sensor.correlate.actions import Action, Actions, Cause, Pair, Pairs, Path, Verdict

UNSEEN_PAIR: Pair = ("", "")  # written "?:?"
# Real delegation has three to five levels; deeper is a loop of keys.
PAIRS_MAX = 16
# Ways that are kept; what is left out stays unsaid probability.
PATHS_MAX = 16
NEGLIGIBLE = 0.01


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
        return (Path((UNSEEN_PAIR, *own), 1.0, Cause.UNSEEN, 0, 0, ""),)
    best = ways[0]
    if verdict.cause is not Cause.EXPLICIT or _is_shared(best, verdict, actions, len(own)):
        ways[0] = best._replace(weight=min(best.weight, verdict.shared_most))
    return tuple(ways)


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
    """The path that may be said: where the ways differ, nobody is named."""
    best = paths[0]
    if len(paths) == 1:
        confidence = 0.0 if best.cause is Cause.UNSEEN else best.weight
        return Stated(best.pairs, best.cause, confidence, best.parent, best.parent_id, ())
    return Stated(_common(paths), Cause.AMBIGUOUS, best.weight, best.parent, best.parent_id, paths)


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
