"""How much a target of a child says about the target of its parent.

Ids that belong together come from an inventory, or are learned from parents that were found: what
was under one target before is likely to be so again (a Dirichlet process; its predictive
probability against chance is the odds, see causes_targets.c).
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any

_NOTHING: frozenset[str] = frozenset()
_DIGITS = re.compile(r"\d+")
_VOTE_LEAST = 0.01
_NO_VOTES = 0.0, 0.0
# Pairs that are remembered; of more, those with the fewest votes leave.
PAIRS_MAX = 100_000


@lru_cache(maxsize=65536)
def shape(target: str) -> str:
    """Ids of one sort look alike: `vm-1093` is `vm-#`."""
    return _DIGITS.sub("#", target)


class Relation(IntEnum):  # causes_relation of causes_targets.h
    UNKNOWN = 0
    LINKED = 1
    APART = 2  # the child's target belongs to another target of that shape
    PARENT_KNOWN = 3  # the parent's target has others


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
        self._relations: dict[str, dict[str, Relation]] = {}  # that were asked for
        self._relations_asked = 0
        # of child's target: parent's target, its shape
        self._votes: dict[str, dict[str, float]] = {}
        self._votes_of_shape: dict[str, dict[str, float]] = {}

    def fresh(self) -> "Targets":
        """The same links, and no votes."""
        other = Targets()
        other._links, other._shapes = self._links, self._shapes
        return other

    def linked(self, target: str) -> frozenset[str] | set[str]:
        return self._links.get(target, _NOTHING)

    def relations(self, child: str) -> dict[str, Relation]:
        """Of its target with those of parents, as far as `relation` was asked for them."""
        if self._relations_asked > PAIRS_MAX:
            self._relations.clear()
            self._relations_asked = 0
        return self._relations.setdefault(child, {})

    def relation(self, child: str, parent: str) -> Relation:
        found = self._relation(child, parent)
        self._relations.setdefault(child, {})[parent] = found
        self._relations_asked += 1
        return found

    def _relation(self, child: str, parent: str) -> Relation:
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
        votes = self._votes.setdefault(child, {})
        votes[parent] = votes.get(parent, 0.0) + weight
        of_shape, its = self._votes_of_shape.setdefault(child, {}), shape(parent)
        of_shape[its] = of_shape.get(its, 0.0) + weight

    def votes(self, child: str, parent: str) -> tuple[float, float]:
        """For the pair, and for the child's target with any of the parent's shape."""
        votes = self._votes.get(child)
        if votes is None:
            return _NO_VOTES
        return votes.get(parent, 0.0), self._votes_of_shape[child].get(shape(parent), 0.0)

    def forget(self, share: float = 1.0) -> None:
        """Earlier votes count less by this share; those that count nothing leave."""
        kept = [(child, parent, votes * (1 - share)) for child, parent, votes in self.all_votes()]
        kept = [each for each in kept if each[2] >= _VOTE_LEAST]
        self._votes, self._votes_of_shape = {}, {}
        for child, parent, votes in kept:
            self.vote(child, parent, votes)
        if len(kept) > PAIRS_MAX:
            kept = self.most_voted(PAIRS_MAX)
            self._votes, self._votes_of_shape = {}, {}
            for child, parent, votes in kept:
                self.vote(child, parent, votes)

    def plain(self) -> list[list[Any]]:
        """child's target, votes for targets of parents, for their shapes"""
        return [
            [child, list(votes.items()), list(self._votes_of_shape[child].items())]
            for child, votes in self._votes.items()
        ]

    def restore(self, plain: Iterable[Sequence[Any]]) -> None:
        for child, votes, of_shape in plain:
            self._votes[child] = {name: weight for name, weight in votes}
            self._votes_of_shape[child] = {name: weight for name, weight in of_shape}

    def most_voted(self, most: int) -> list[tuple[str, str, float]]:
        return sorted(self.all_votes(), key=lambda each: (-each[2], each[:2]))[:most]

    def all_votes(self) -> Iterator[tuple[str, str, float]]:
        for child, votes in self._votes.items():
            for parent, weight in votes.items():
                yield child, parent, weight
