"""How much a target of a child says about the target of its parent.

Ids that belong together come from an inventory, or are learned from parents that were found: what
was under one target before is likely to be so again (a Dirichlet process; its predictive
probability against chance is the odds).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

# Observations that a link of the inventory is worth, and those of a target not met before.
KNOWN_WORTH, NOVELTY = 300.0, 0.3
# The child is unknown, but what the parent's target has is known: the list is seldom out of date.
PARENT_KNOWN_LOG = -4.0
_NOTHING: frozenset[str] = frozenset()
_DIGITS = re.compile(r"\d+")


@lru_cache(maxsize=65536)
def shape(target: str) -> str:
    """Ids of one sort look alike: `vm-1093` is `vm-#`."""
    return _DIGITS.sub("#", target)


class Relation(Enum):
    LINKED = "linked"
    APART = "apart"  # the child's target belongs to another target of that shape
    PARENT_KNOWN = "parent known"  # the parent's target has others
    UNKNOWN = "unknown"


class Targets:
    def __init__(self, links: Iterable[tuple[str, str]] = ()) -> None:
        self._links: dict[str, set[str]] = defaultdict(set)
        for a, b in links:
            self._links[a].add(b)
            self._links[b].add(a)
        self._shapes = {
            target: frozenset(shape(each) for each in others)
            for target, others in self._links.items()
        }
        self._votes: defaultdict[tuple[str, str], float] = defaultdict(
            float
        )  # of child's target, parent's target
        self._votes_of_shape: defaultdict[tuple[str, str], float] = defaultdict(float)  # its shape

    def linked(self, target: str) -> frozenset[str] | set[str]:
        return self._links.get(target, _NOTHING)

    def relation(self, child: str, parent: str) -> Relation:
        if child == parent:
            return Relation.LINKED
        linked = self._links.get(child)
        if linked is not None:
            if parent in linked:
                return Relation.LINKED
            if shape(parent) in self._shapes[child]:
                return Relation.APART
        if shape(child) in self._shapes.get(parent, ()):
            return Relation.PARENT_KNOWN
        return Relation.UNKNOWN

    def vote(self, child: str, parent: str, weight: float) -> None:
        self._votes[child, parent] += weight
        self._votes_of_shape[child, shape(parent)] += weight

    def forget(self, share: float = 1.0) -> None:
        """Earlier votes count less by this share; those that count nothing leave."""
        for votes in (self._votes, self._votes_of_shape):
            for key in list(votes):
                votes[key] *= 1 - share
                if votes[key] < 0.01:
                    del votes[key]

    def odds_log(
        self,
        child: str,
        parent: str,
        relation: Relation,
        among: float,
        own: tuple[float, float] = (0.0, 0.0),
    ) -> float:
        """Log-odds against chance, `among` targets of parents.

        `own` is what this very child voted, for this parent's target and for any of its shape.
        """
        here = max(0.0, self._votes.get((child, parent), 0.0) - own[0])
        all_votes = self._votes_of_shape.get((child, shape(parent)), 0.0) - own[1]
        elsewhere = max(0.0, all_votes - here)
        log = 0.0
        if relation is Relation.LINKED:
            here += KNOWN_WORTH
        elif relation is Relation.APART:
            elsewhere += KNOWN_WORTH
        elif relation is Relation.PARENT_KNOWN:
            log = PARENT_KNOWN_LOG
        novel = NOVELTY / among
        return log + math.log((here + novel) / (here + elsewhere + NOVELTY) * among)
