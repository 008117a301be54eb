"""How well a possible parent fits a child: by what both act on, and by their verbs."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from sensor.correlate.actions import Action, Fact
from sensor.correlate.inventory import Inventory
from sensor.correlate.relations import Relation, View
from sensor.correlate.verbs import IMPOSSIBLE, compatible


class Scored(NamedTuple):
    parent: Action
    relation: Relation
    verb: float

    @property
    def weight(self) -> float:
        return self.relation.weight * self.verb

    @property
    def facts(self) -> tuple[Fact, ...]:
        _, _, key, value, grade = self.relation
        return _facts(key, value, grade) if key else ()


@lru_cache(maxsize=16384)  # kept once for all actions on an object
def _facts(key: str, value: str, grade: str) -> tuple[Fact, ...]:
    return (Fact(key, value, grade),)


class Scorer:
    """Of one child; what the inventory knows of it at its client is looked up once."""

    def __init__(self, child: Action, inventory: Inventory) -> None:
        self._child = child
        self._inventory = inventory
        self._known_view: View | None = None

    @property
    def view(self) -> View:
        if self._known_view is None:
            self._known_view = View(self._child, self._child.client, self._inventory)
        return self._known_view

    def score(self, parent: Action) -> Scored:
        view = self.view
        if parent.server != self._child.client:
            view = View(self._child, parent.server, self._inventory)
        return Scored(parent, view.relation(parent), compatible(parent.verb, self._child.verb))


def begun_before(parent: Action, child: Action) -> bool:
    """In packet time; of two that began at once, the one that ended first."""
    begun_ns, child_ns = parent.call.time_ns, child.call.time_ns
    return begun_ns < child_ns or (begun_ns == child_ns and parent.seq < child.seq)


def only_effect(parent: Action, children: Iterable[Action]) -> Action | None:
    """The one that can come from this parent, by time, and where that leaves more, by verb."""
    left = [each for each in children if begun_before(parent, each)]
    if len(left) > 1:
        left = [each for each in left if compatible(parent.verb, each.verb) > IMPOSSIBLE]
    return left[0] if len(left) == 1 else None


def narrowed(scored: Sequence[Scored]) -> tuple[list[Scored], tuple[int, ...]]:
    """Candidates whose object and verb fit best, best first; and what was left out."""
    if len(scored) == 1:
        [only] = scored
        return [only if only.verb > IMPOSSIBLE else only._replace(verb=1.0)], ()
    possible = [each for each in scored if each.verb > IMPOSSIBLE] or [
        each._replace(verb=1.0) for each in scored
    ]
    if len(possible) <= 1:
        kept = [each.parent.seq for each in possible]
        return possible, tuple(each.parent.seq for each in scored if each.parent.seq not in kept)
    rank = max(each.relation.rank for each in possible)
    left = [each for each in possible if each.relation.rank == rank]
    left.sort(key=lambda each: (-each.weight, -each.parent.seq))
    kept = [each.parent.seq for each in left]
    return left, tuple(each.parent.seq for each in scored if each.parent.seq not in kept)
