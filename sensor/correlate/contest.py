"""Actions without a key that may have the same causes, weighed together.

A cause asks for the same thing once, so what one action has, the others hardly have. Summed over
all assignments exactly where they are few (by sets of causes used), else by belief propagation.
"""

from collections.abc import Sequence
from typing import NamedTuple

# Weight of a cause that asks a second time for the same, where nothing failed, and where it did.
AGAIN, AGAIN_AFTER_FAILURE = 0.02, 0.5
EXACT_CAUSES_MAX = 9
EXACT_EFFECTS_MAX = 32
_ROUNDS = 30


class Entry(NamedTuple):
    """One action: the weight of each cause that it may have, by number, and that of nobody seen."""

    weights: dict[int, float]
    unseen: float
    failed: bool


Shares = list[dict[int, float]]  # of each entry: cause -> probability; what is missing is nobody


def shares(entries: Sequence[Entry]) -> Shares:
    """Entries in the order of their time."""
    causes = sorted({cause for entry in entries for cause in entry.weights})
    if len(entries) == 1:
        return [_alone(entries[0])]
    if len(causes) <= EXACT_CAUSES_MAX and len(entries) <= EXACT_EFFECTS_MAX:
        return _exact(entries, {cause: 1 << bit for bit, cause in enumerate(causes)})
    return _propagated(entries)


def _alone(entry: Entry) -> dict[int, float]:
    total = sum(entry.weights.values()) + entry.unseen
    return {cause: weight / total for cause, weight in entry.weights.items()}


def _again(entries: Sequence[Entry], at: int) -> float:
    return AGAIN_AFTER_FAILURE if any(each.failed for each in entries[:at]) else AGAIN


def _exact(entries: Sequence[Entry], bits: dict[int, int]) -> Shares:
    ahead: list[dict[int, float]] = [{0: 1.0}]  # causes used -> weight of all ways to there
    for at, entry in enumerate(entries):
        again, step = _again(entries, at), dict[int, float]()
        for used, weight in ahead[-1].items():
            _add(step, used, weight * entry.unseen)
            for cause, own in entry.weights.items():
                bit = bits[cause]
                _add(step, used | bit, weight * own * (again if used & bit else 1.0))
        top = max(step.values(), default=1.0) or 1.0
        ahead.append({used: weight / top for used, weight in step.items()})
    found: Shares = []
    behind = dict.fromkeys(ahead[-1], 1.0)
    for at in range(len(entries) - 1, -1, -1):
        entry, again = entries[at], _again(entries, at)
        before: dict[int, float] = {}
        by_cause = dict.fromkeys(entry.weights, 0.0)
        total = 0.0
        for used, weight in ahead[at].items():
            way = entry.unseen * behind.get(used, 0.0)
            total += weight * way
            for cause, own in entry.weights.items():
                bit = bits[cause]
                onward = behind.get(used | bit, 0.0) * own * (again if used & bit else 1.0)
                by_cause[cause] += weight * onward
                way += onward
            before[used] = way
        total += sum(by_cause.values())
        found.append({cause: share / (total or 1.0) for cause, share in by_cause.items()})
        top = max(before.values(), default=1.0) or 1.0
        behind = {used: weight / top for used, weight in before.items()}
    found.reverse()
    return found


def _propagated(entries: Sequence[Entry]) -> Shares:
    """Each cause tells each action how free it is of the others, until that settles."""
    current = [_alone(entry) for entry in entries]
    for _ in range(_ROUNDS):
        claimed: dict[int, float] = {}
        for share in current:
            for cause, probability in share.items():
                _add(claimed, cause, probability)
        current = [
            _alone(
                entry._replace(
                    weights={
                        cause: weight * max(AGAIN, 1.0 - (claimed[cause] - share[cause]))
                        for cause, weight in entry.weights.items()
                    }
                )
            )
            for entry, share in zip(entries, current, strict=True)
        ]
    return current


def _add(sums: dict[int, float], key: int, value: float) -> None:
    sums[key] = sums.get(key, 0.0) + value
