"""Which parents each child may have, as the arrays that the core reads.

Ids carried through and known links decide here already whom a child can have; what is left is for
times to tell.
"""

import heapq
import math
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sensor.correlate.soft.kinds import service_class
from sensor.correlate.soft.targets import Relation, Targets
from sensor.correlate.soft.work import PIECE_US, Work
from sensor.correlate.spans import NOT_SEEN, Span

# Parents of which the most likely are looked at closely.
OPTIONS_MAX = 32
NOBODY = -1
_SUFFIX_MARKS = "-.:/"
_NOT_ASKED: Any = None
# Probability of what ids do from parent to child, by what both have; an id is one of e^7.
_ID_WORTH = 7.0
_SAME_ID_LOG = math.log(0.88) + _ID_WORTH
_LOST_ID_LOG = math.log(0.12)
_OTHER_ID_LOG = math.log(0.001)
_NO_ID_LOG = math.log(0.999)
_NOBODY_ID_LOG = math.log(0.5)
# Used to choose the closest-looking parents only.
_WORTH = {relation: 1.0 for relation in Relation} | {
    Relation.LINKED: math.exp(8),
    Relation.APART: math.exp(-4),
}
_FAILED_WORTH, _FINE = math.exp(-3), ("", "ok")
# Microseconds to look at a child, and at a parent that it may have.
_CHILD_US, _NEAR_US = 8, 2


@dataclass(frozen=True, slots=True)
class Manner:
    """How a service of a class calls others."""

    nested: bool  # all its calls end before it answers
    slack_ns: int  # its clocks disagree by this much


# parent, log of ids, what is known of the targets, does its id decide?
Choice = tuple[int, float, Relation, bool]


@dataclass(slots=True)
class Options:
    """What each child may have, column by column; the last of each child is nobody."""

    start: "array[int]" = field(default_factory=lambda: array("i", [0]))
    parent: "array[int]" = field(default_factory=lambda: array("i"))
    log: "array[float]" = field(default_factory=lambda: array("d"))  # of ids
    pair: "array[int]" = field(default_factory=lambda: array("i"))  # -1: not both have a target
    # (class of the caller, child's target, parent's target) of each pair
    pairs: list[tuple[str, str, str]] = field(default_factory=list)
    relation: "array[int]" = field(default_factory=lambda: array("B"))  # of each pair
    _numbers: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def extend(self, parents: Sequence[int], logs: Iterable[float]) -> None:
        """None of them with targets."""
        self.parent.extend(parents)
        self.log.extend(logs)
        self.pair.extend([-1] * len(parents))

    def add(self, parent: int, log: float, pair: int = -1) -> None:
        self.parent.append(parent)
        self.log.append(log)
        self.pair.append(pair)

    def fix(self, parent: int) -> None:
        """A child that has its parent."""
        self.add(parent, 0.0)
        self.start.append(len(self.parent))

    def copy(self, other: "Options", child: int) -> None:
        """All that a child has; the pairs are the same."""
        first, end = other.start[child], other.start[child + 1]
        self.parent.extend(other.parent[first:end])
        self.log.extend(other.log[first:end])
        self.pair.extend(other.pair[first:end])
        self.start.append(len(self.parent))

    def end_child(self) -> None:
        self.add(NOBODY, _NOBODY_ID_LOG)
        self.start.append(len(self.parent))

    def number(self, child: Span, parent: str, relation: Relation) -> int:
        """Of the pair of both targets."""
        numbers = self._numbers.setdefault((service_class(child.caller), child.target), {})
        number = numbers.get(parent)
        if number is None:
            number = numbers[parent] = len(self.pairs)
            self.pairs.append((service_class(child.caller), child.target, parent))
            self.relation.append(relation)
        return number


def ids_above(identity: str) -> Iterator[str]:
    """The id itself, then without what suffixes it may have."""
    while identity:
        yield identity
        identity = identity[: max(0, *(identity.rfind(mark) for mark in _SUFFIX_MARKS))]


def last_ns(parent: Span, horizon_ns: int) -> int:
    """After this it has no further children, if they may outlast it."""
    if parent.done_ns == NOT_SEEN:
        return parent.served_ns + horizon_ns
    return max(parent.done_ns, parent.replied_ns)


class Chooser:
    """The best of those that may be a child's parent; `parents` may grow meanwhile."""

    def __init__(self, parents: Sequence[Span], targets: Targets, most: int = OPTIONS_MAX) -> None:
        self._parents, self._targets, self._most = parents, targets, most
        self._named: dict[tuple[str, str], list[int]] = {}  # by service and id
        self._named_until = 0
        self.options = Options()

    def add(self, child: Span, near: Sequence[int]) -> None:
        """`near` are numbers of parents, in time."""
        options, parents = self.options, self._parents
        if child.target or child.operation_id:
            for i, log, relation, _ in self._choices(child, near):
                target = child.target and parents[i].target
                pair = options.number(child, target, relation) if target else -1
                options.add(i, log, pair)
        else:
            near = near[-self._most :]
            logs = [_LOST_ID_LOG if parents[i].operation_id else _NO_ID_LOG for i in near]
            options.extend(near, logs)
        options.end_child()

    def _choices(self, child: Span, near: Sequence[int]) -> list[Choice]:
        parents, target, own = self._parents, child.target, child.operation_id
        known = self._targets.relations(target)
        found, decided = [], False
        same_id = self._same_id(child, near) if own else ()
        for i in narrowed(child, near, same_id, parents, self._targets):
            parent = parents[i]
            log, same = _id_log(own, parent.operation_id)
            relation = Relation.UNKNOWN
            if target and parent.target:
                relation = known.get(parent.target, _NOT_ASKED)
                if relation is _NOT_ASKED:
                    relation = self._targets.relation(target, parent.target)
                if relation is Relation.APART:
                    log, same = min(log, 0.0), False
            decided |= same
            found.append((i, log, relation, same))
        if decided:
            found = [choice for choice in found if choice[3]]
        if len(found) <= self._most:
            return found
        return sorted(heapq.nlargest(self._most, found, key=lambda each: self._rank(child, each)))

    def _same_id(self, child: Span, near: Sequence[int]) -> Sequence[int]:
        """Those whose id the child has, perhaps with a suffix."""
        for number in range(self._named_until, len(self._parents)):
            parent = self._parents[number]
            if parent.operation_id:
                named = self._named.setdefault((parent.callee, parent.operation_id), [])
                named.append(number)
        self._named_until = len(self._parents)
        for identity in ids_above(child.operation_id):
            found = self._named.get((child.caller, identity))
            if found:
                here = set(near)
                return [i for i in found if i in here]
        return ()

    def _rank(self, child: Span, choice: Choice) -> float:
        """The closest first."""
        parent = self._parents[choice[0]]
        away_ns = abs(child.start_ns - parent.served_ns) + 1_000_000
        worth = _WORTH[choice[2]] * (_FAILED_WORTH if parent.status not in _FINE else 1.0)
        return math.exp(choice[1]) * worth / away_ns


def _id_log(child: str, parent: str) -> tuple[float, bool]:
    """Log-probability of the child's id under this parent; is it the parent's, with a suffix?"""
    if not parent:
        return (_OTHER_ID_LOG if child else _NO_ID_LOG), False
    if not child:
        return _LOST_ID_LOG, False
    if child == parent or (child.startswith(parent) and child[len(parent)] in _SUFFIX_MARKS):
        return _SAME_ID_LOG, True
    return _OTHER_ID_LOG, False


def narrowed(
    child: Span,
    near: Sequence[int],
    same_id: Sequence[int],
    parents: Sequence[Span],
    targets: Targets,
) -> Sequence[int]:
    """Those that no other one's id or known target rules out."""
    linked = targets.linked(child.target) if child.target else ()
    if linked:  # siblings have the same id: theirs are other targets
        same_id = [i for i in same_id if _may_be_of(parents[i].target, child, linked)]
    if same_id:
        return same_id
    if linked:
        named = [i for i in near if _may_be_of(parents[i].target, child, linked)]
        if any(parents[i].target for i in named):
            return named
    return near


def _may_be_of(target: str, child: Span, linked: Collection[str]) -> bool:
    return not target or target == child.target or target in linked


class _Open:
    """Parents at one service that may still have children, as time goes on."""

    def __init__(self, numbers: list[int], parents: Sequence[Span], horizon_ns: int) -> None:
        self._parents = parents
        self._last_ns = {i: last_ns(parents[i], horizon_ns) for i in numbers}
        self._waiting = sorted(numbers, key=lambda i: (parents[i].served_ns, i), reverse=True)
        self._open: list[int] = []

    def __len__(self) -> int:
        return len(self._open)

    def at(self, child: Span, manner: Manner) -> list[int]:
        parents, slack = self._parents, manner.slack_ns
        latest, earliest = child.start_ns + slack, child.start_ns - slack
        while self._waiting and parents[self._waiting[-1]].served_ns <= latest:
            self._open.append(self._waiting.pop())
        if manner.nested:
            self._open = [i for i in self._open if parents[i].replied_ns >= earliest]
            end = child.end_ns - slack
            return [i for i in self._open if parents[i].replied_ns >= end]
        last = self._last_ns
        self._open = [i for i in self._open if last[i] >= earliest]
        return self._open


def options_of(
    parents: Sequence[Span],
    children: Sequence[Span],
    targets: Targets,
    manners: dict[str, Manner],
    horizon_ns: int,
) -> Work[Options]:
    """All that is possible, for children in the order of their start."""
    at_service: dict[str, list[int]] = defaultdict(list)
    for i, span in enumerate(parents):
        at_service[span.callee].append(i)
    opens = {service: _Open(each, parents, horizon_ns) for service, each in at_service.items()}
    chooser = Chooser(parents, targets)
    cost_us = len(parents)
    for child in children:
        manner = manners.get(service_class(child.caller), Manner(False, 0))
        at = opens.get(child.caller)
        near = [] if at is None else at.at(child, manner)
        chooser.add(child, near)
        cost_us += _CHILD_US + _NEAR_US * (0 if at is None else len(at))
        if cost_us > PIECE_US:
            yield cost_us
            cost_us = 0
    return chooser.options
