"""Children and the parents each may have, as the arrays that the core reads.

Ids carried through and known links decide here already whom a child can have; what is left is for
times to tell.
"""

import heapq
import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sensor.correlate.soft.kinds import Kinds, service_class
from sensor.correlate.soft.targets import Relation, Targets
from sensor.correlate.spans import NOT_SEEN, Span

if TYPE_CHECKING:
    from sensor._core import CausesWindow

# Parents of which the most likely are looked at closely.
OPTIONS_MAX = 32
NOBODY = -1
# Probability of what ids do from parent to child, by what both have; an id is one of e^7.
_ID_WORTH = 7.0
_SAME_ID_LOG = math.log(0.88) + _ID_WORTH
_LOST_ID_LOG = math.log(0.12)
_OTHER_ID_LOG = math.log(0.001)
_NO_ID_LOG = math.log(0.999)
_NOBODY_ID_LOG = math.log(0.5)
# Used to choose the closest-looking parents only.
_LINKED_RANK, _APART_RANK, _FAILED_RANK = 8.0, -4.0, -3.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How a service of a class calls others."""

    nested: bool  # all its calls end before it answers
    slack_ns: int  # its clocks disagree by this much


@dataclass(slots=True)
class Options:
    """What each child may have, column by column; the last of each child is nobody."""

    start: "array[int]" = field(default_factory=lambda: array("i", [0]))
    parent: "array[int]" = field(default_factory=lambda: array("i"))
    log: "array[float]" = field(default_factory=lambda: array("d"))  # of ids
    relation: list[Relation] = field(default_factory=list)

    def add(self, parent: int, log: float, relation: Relation) -> None:
        self.parent.append(parent)
        self.log.append(log)
        self.relation.append(relation)

    def fix(self, parent: int) -> None:
        """A child that has its parent."""
        self.add(parent, 0.0, Relation.UNKNOWN)
        self.start.append(len(self.parent))

    def end_child(self) -> None:
        self.add(NOBODY, _NOBODY_ID_LOG, Relation.UNKNOWN)
        self.start.append(len(self.parent))


class Window:
    def __init__(
        self, parents: Sequence[Span], children: Sequence[Span], kinds: Kinds, options: Options
    ) -> None:
        """Children in the order of their start, options as numbers of parents."""
        self.parents, self.children, self.kinds, self.options = parents, children, kinds, options
        self.parent_row = array("i", [kinds.row(span) for span in parents])
        self.child_kind = array("i", [kinds.kind(span) for span in children])
        numbers: dict[str, int] = {}
        self._fixed = (
            array("q", [span.served_ns for span in parents]),
            array("q", [span.replied_ns for span in parents]),
            array("q", [span.done_ns for span in parents]),
            self.parent_row,
            array("q", [span.start_ns for span in children]),
            array("q", [span.end_ns for span in children]),
            array("q", [span.done_ns for span in children]),
            self.child_kind,
            array(
                "i",
                [
                    numbers.setdefault(span.target, len(numbers)) if span.target else -1
                    for span in children
                ],
            ),
            array("B", [span.failed for span in children]),
        )
        self.held = array("i", bytes(4 * len(children)))

    def arrays(self, log: "array[float]", share: "array[float]") -> "CausesWindow":
        return (*self._fixed, self.options.start, self.options.parent, log, share)

    def span_of(self, child: int) -> range:
        return range(self.options.start[child], self.options.start[child + 1])

    def parent_at(self, option: int) -> Span | None:
        parent = self.options.parent[option]
        return None if parent == NOBODY else self.parents[parent]


def targets_at(parents: Iterable[Span]) -> dict[str, float]:
    """How many targets the calls to services of a class have."""
    found: dict[str, set[str]] = defaultdict(set)
    for span in parents:
        found[service_class(span.callee)].add(span.target)
    return {service: float(len(targets)) for service, targets in found.items()}


def last_ns(parent: Span, horizon_ns: int) -> int:
    """After this it has no further children, if they may outlast it."""
    if parent.done_ns == NOT_SEEN:
        return parent.served_ns + horizon_ns
    return max(parent.done_ns, parent.replied_ns)


class _Open:
    """Parents at one service that may still have children, as time goes on."""

    def __init__(self, numbers: Iterable[int], parents: Sequence[Span], horizon_ns: int) -> None:
        self._parents, self._horizon_ns = parents, horizon_ns
        self._waiting = sorted(numbers, key=lambda i: (parents[i].served_ns, i), reverse=True)
        self._open: list[int] = []

    def at(self, child: Span, manner: Manner) -> list[int]:
        parents, slack = self._parents, manner.slack_ns
        latest, earliest = child.start_ns + slack, child.start_ns - slack
        while self._waiting and parents[self._waiting[-1]].served_ns <= latest:
            self._open.append(self._waiting.pop())
        if manner.nested:
            self._open = [i for i in self._open if parents[i].replied_ns >= earliest]
            end = child.end_ns - slack
            return [i for i in self._open if parents[i].replied_ns >= end]
        self._open = [i for i in self._open if last_ns(parents[i], self._horizon_ns) >= earliest]
        return self._open


def options_of(
    parents: Sequence[Span],
    children: Sequence[Span],
    targets: Targets,
    manners: dict[str, Manner],
    horizon_ns: int,
) -> Options:
    """All that is possible, for children in the order of their start."""
    at_service: dict[str, list[int]] = defaultdict(list)
    for i, span in enumerate(parents):
        at_service[span.callee].append(i)
    opens = {service: _Open(each, parents, horizon_ns) for service, each in at_service.items()}
    options = Options()
    for child in children:
        manner = manners.get(service_class(child.caller), Manner(False, 0))
        near = opens[child.caller].at(child, manner) if child.caller in opens else []
        for choice in choices_of(child, [parents[i] for i in near], targets, OPTIONS_MAX):
            options.add(near[choice.parent], choice.log, choice.relation)
        options.end_child()
    return options


def narrowed(child: Span, parents: Sequence[Span], targets: Targets) -> Sequence[int]:
    """Numbers of those that no other one's id or known target rules out."""
    linked = targets.linked(child.target) if child.target else ()
    identity = child.operation_id
    if identity:
        same = [
            i
            for i, parent in enumerate(parents)
            if parent.operation_id and identity.startswith(parent.operation_id)
        ]
        if linked:  # siblings have the same id: theirs are other targets
            same = [i for i in same if _may_be_of(parents[i].target, child, linked)]
        if same:
            return same
    if linked:
        named = [i for i, parent in enumerate(parents) if _may_be_of(parent.target, child, linked)]
        if any(parents[i].target for i in named):
            return named
    return range(len(parents))


def _may_be_of(target: str, child: Span, linked: Collection[str]) -> bool:
    return not target or target == child.target or target in linked


class Choice(NamedTuple):
    rank: float
    parent: int
    log: float
    relation: Relation
    decides: bool


def choices_of(
    child: Span, parents: Sequence[Span], targets: Targets, most: int
) -> Sequence[Choice]:
    """The best of those that may be its parent, by their numbers here, which are in time."""
    if not child.target and not child.operation_id:
        first = max(0, len(parents) - most)
        return [
            Choice(0.0, i, _LOST_ID_LOG if parents[i].operation_id else _NO_ID_LOG, _UNTOLD, False)
            for i in range(first, len(parents))
        ]
    possible = narrowed(child, parents, targets)
    return chosen([choice_of(child, i, parents[i], targets) for i in possible], most)


_UNTOLD = Relation.UNKNOWN


def choice_of(child: Span, number: int, parent: Span, targets: Targets) -> Choice:
    log, same_id = _id_log(child.operation_id, parent.operation_id)
    relation = Relation.UNKNOWN
    if child.target and parent.target:
        relation = targets.relation(child.target, parent.target)
    if relation is Relation.APART:
        log = min(log, 0.0)
    rank = log - math.log(abs(child.start_ns - parent.served_ns) + 1e6)
    if relation is Relation.LINKED:
        rank += _LINKED_RANK
    elif relation is Relation.APART:
        rank += _APART_RANK
    if parent.failed:
        rank += _FAILED_RANK
    return Choice(rank, number, log, relation, same_id and relation is not Relation.APART)


def _id_log(child: str, parent: str) -> tuple[float, bool]:
    """Log-probability of the child's id under this parent; is it the parent's, with a suffix?"""
    if child and parent:
        if child == parent or (child.startswith(parent) and child[len(parent)] in "-.:/"):
            return _SAME_ID_LOG, True
        return _OTHER_ID_LOG, False
    if parent:
        return _LOST_ID_LOG, False
    return (_OTHER_ID_LOG if child else _NO_ID_LOG), False


def chosen(choices: list[Choice], most: int) -> list[Choice]:
    """Those whose id is the child's, if there are any that nothing contradicts; else the best."""
    deciding = [choice for choice in choices if choice.decides]
    if deciding:
        choices = deciding
    if len(choices) <= most:
        return choices
    best = heapq.nlargest(most, choices, key=lambda choice: choice.rank)
    return sorted(best, key=lambda choice: choice.parent)
