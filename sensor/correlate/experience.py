"""What a site's own hops teach: how soon one act leads to another, and how far guesses are right.

Hops that keys decided are the teachers. Their timing counts in full, and each is also guessed with
its key hidden: how often such guesses are right is how far a guess without a key is trusted. Until
there is enough of either, the priors below stand. What was learned fades: a site may change.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import log, log2
from typing import Any

from sensor.correlate.relations import Rank

SECOND = 10**9
# Times after a trigger, from 1 us on, each bin twice as long as the one before: to half an hour.
BINS, BIN_FIRST_NS = 32, 1000
# Observations that the prior is worth against what was learned of a pair, and those that each bin
# is taken to have had.
TIMING_PRIOR_WORTH = 8.0
BIN_PRIOR = 0.1
HORIZON_S = 900.0
# Of guesses from evidence of each rank: right ones among so many, until the site says otherwise.
# Where two acts fit one object the alternatives share it, which is not the rank's to discount.
_TRUST_PRIOR = {
    Rank.DEFINITE: (39.6, 40.0),
    Rank.LIKE_NAME: (29.5, 30.0),
    Rank.UNKNOWN: (6.0, 10.0),
    Rank.CONTRARY: (1.0, 10.0),
}
# Once so much was seen of anything, the earlier half of it counts half.
FADE_AT = 2000.0
PAIRS_MAX = 1024
COUNTED_MAX, OTHER = 40, "other"  # rows of counts, right and wrong apart

KindPair = tuple[str, str]  # of parent and child: "VCD create", "VC power_on"


class Trigger(StrEnum):
    """What the child came after: the latest of these."""

    START = "start"  # of its parent
    REPLY = "reply"  # of its parent
    SIBLING = "sibling"  # the end of an earlier child of its parent


Timed = tuple[str, str, Trigger]  # kind of parent, of child


@dataclass(slots=True)
class Guesses:
    """With the key hidden: how many, and how many of them were right."""

    right: float = 0.0
    total: float = 0.0

    def add(self, is_right: bool) -> None:
        if self.total >= FADE_AT:
            self.right, self.total = self.right / 2, self.total / 2
        self.right += is_right
        self.total += 1.0


@dataclass(slots=True)
class _Histogram:
    total: float = 0.0
    bins: list[float] = field(default_factory=lambda: [0.0] * BINS)

    def add(self, gap_ns: int, weight: float) -> None:
        if self.total >= FADE_AT:
            self.total /= 2
            self.bins = [count / 2 for count in self.bins]
        self.bins[_bin(gap_ns)] += weight
        self.total += weight

    def density(self, gap_ns: int) -> float:
        """Per second; a bin shares what its neighbours have, since edges fall anywhere."""
        at = _bin(gap_ns)
        count = self.bins[at] / 2 + BIN_PRIOR
        for near in (at - 1, at + 1):
            if 0 <= near < BINS:
                count += self.bins[near] / 4
        return count / (self.total + BINS * BIN_PRIOR) / _width_s(at)


class Experience:
    def __init__(self) -> None:
        self._timing: dict[Timed, _Histogram] = {}
        self._trust: dict[Rank, Guesses] = {rank: Guesses() for rank in Rank}
        self.pairs: dict[KindPair, Guesses] = {}  # the same guesses by kinds
        self.guesses = 0
        self.counted: Counter[tuple[str, str, bool]] = Counter()  # they never fade; OTHER: the rest
        self.shed = 0

    def hop(self, parent: str, child: str, trigger: Trigger, gap_ns: int, weight: float) -> None:
        """A hop is known, with this probability."""
        key = (parent, child, trigger)
        timing = self._timing.get(key)
        if timing is None:
            if len(self._timing) >= PAIRS_MAX:
                self.shed += 1
                return
            timing = self._timing[key] = _Histogram()
        timing.add(gap_ns, weight)

    def timing(self, parent: str, child: str, trigger: Trigger, gap_ns: int) -> float:
        """How likely the child comes just then after the trigger, against the prior's 1 at once."""
        gap_s = max(0, gap_ns) / SECOND
        prior = 1.0 / (1.0 + gap_s)
        timing = self._timing.get((parent, child, trigger))
        if timing is None:
            return prior
        share = timing.total / (timing.total + TIMING_PRIOR_WORTH)
        return float(prior ** (1 - share) * (timing.density(gap_ns) * _PRIOR_AREA_S) ** share)

    def guessed(self, parent: str, child: str, rank: Rank, is_right: bool) -> None:
        """A hop whose key was hidden was guessed from evidence of this rank."""
        self.guesses += 1
        is_counted = len(self.counted) < COUNTED_MAX or (parent, child, True) in self.counted
        self.counted[(parent, child, is_right) if is_counted else (OTHER, OTHER, is_right)] += 1
        self._trust[rank].add(is_right)
        pair = (parent, child)
        guesses = self.pairs.get(pair)
        if guesses is None:
            if len(self.pairs) >= PAIRS_MAX:
                self.shed += 1
                return
            guesses = self.pairs[pair] = Guesses()
        guesses.add(is_right)

    def guess_counts(self) -> dict[tuple[str, ...], int]:
        """Guesses by kind of parent, kind of child, right or wrong; from another thread."""
        counts = self.counted.copy()
        return {
            (parent, child, result): counts[parent, child, is_right]
            for parent, child in sorted({key[:2] for key in counts})
            for is_right, result in ((True, "right"), (False, "wrong"))
        }

    def trust_by_evidence(self) -> dict[str, float]:
        ranks = (Rank.DEFINITE, Rank.LIKE_NAME, Rank.UNKNOWN)
        return {rank.name.lower(): self.trust(rank) for rank in ranks}

    def trust(self, rank: Rank) -> float:
        """The share of guesses from such evidence that are right, the best of them left alone."""
        right, total = _TRUST_PRIOR[rank]
        guesses = self._trust[rank]
        return (guesses.right + right) / (guesses.total + total)

    def learned(self) -> dict[str, Any]:
        """Numbers and texts only, to be kept over a restart."""
        return {
            "timing": [
                [parent, child, trigger.value, [round(count, 2) for count in each.bins]]
                for (parent, child, trigger), each in self._timing.items()
            ],
            "trust": [[rank.name, each.right, each.total] for rank, each in self._trust.items()],
            "pairs": [[*pair, each.right, each.total] for pair, each in self.pairs.items()],
        }

    def recall(self, learned: Mapping[str, Any]) -> None:
        """What an earlier run learned. Raises ValueError, TypeError or KeyError when it is none."""
        timing: dict[Timed, _Histogram] = {}
        for parent, child, trigger, bins in learned["timing"][:PAIRS_MAX]:
            counts = [_count(count) for count in bins]
            if len(counts) != BINS:
                raise ValueError("timing has other bins")
            key = (str(parent), str(child), Trigger(trigger))
            timing[key] = _Histogram(sum(counts), counts)
        trust = {Rank[name]: _guesses(*counts) for name, *counts in learned["trust"]}
        pairs = {
            (str(parent), str(child)): _guesses(*counts)
            for parent, child, *counts in learned["pairs"][:PAIRS_MAX]
        }
        self._timing |= timing
        self._trust |= trust
        self.pairs |= pairs


def _count(value: float) -> float:
    if not 0 <= value <= 2 * FADE_AT:
        raise ValueError("no count that fades")
    return float(value)


def _guesses(right: float, total: float) -> Guesses:
    guesses = Guesses(_count(right), _count(total))
    if guesses.right > guesses.total:
        raise ValueError("more were right than guessed")
    return guesses


# The prior's 1/(1 + t) integrated over the horizon: what makes a density comparable with it.
_PRIOR_AREA_S = log(1.0 + HORIZON_S)


def _bin(gap_ns: int) -> int:
    if gap_ns < BIN_FIRST_NS:
        return 0
    return min(BINS - 1, 1 + int(log2(gap_ns / BIN_FIRST_NS)))


def _width_s(at: int) -> float:
    low = BIN_FIRST_NS * 2 ** (at - 1) if at else 0
    high = BIN_FIRST_NS * 2**at
    return float(high - low) / SECOND
