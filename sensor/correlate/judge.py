"""Who caused this action: the ladder of evidence, strongest rung first.

Pure: reads the tables, changes nothing. The weights are provisional. They are ordered by what the
evidence is worth, and only explicit keys reach CERTAIN; statistics from a site's own keyed hops are
to replace the numbers, not the order.
"""

from collections.abc import Iterable
from typing import NamedTuple

from decoders.message import Outcome
from sensor.correlate.actions import Action, Actions, Cause, Fact, Link, Verdict
from sensor.correlate.habits import Habits
from sensor.correlate.inventory import Inventory
from sensor.correlate.keys import is_background, parent_ids
from sensor.correlate.relations import Relation, View
from sensor.correlate.verbs import IMPOSSIBLE, compatible
from sensor.services import Services

# Probability of a parent, by the evidence for it.
BY_TASK = 0.999  # a service says which task it started
BY_ID_AND_TARGET = 0.995
BY_REQUEST_ID = 0.99  # an id that the server made, which nobody else can guess
BY_ID = 0.97  # an id that a client chose
BY_SHARED_ID_AND_TARGET = 0.96  # the id leads to several heads, what is acted on to one
BY_ID_FROM_ELSEWHERE = 0.85  # from an address that is not known to be the parent's service
BY_ID_AGAINST_TARGET = 0.5  # the id says yes, what is acted on says no
CERTAIN = 0.95  # nothing below the rung of explicit keys reaches it
CORRELATED_MOST = 0.94
BY_LIKE_NAME_MOST = 0.85
BY_TIME_MOST = 0.6

# Weight of "its cause was not seen" against candidates without a key.
UNSEEN_WEIGHT = 0.05
# Against a candidate that has an operation id, when the child has another; and against one with any
# id, when the child's client is known to pass ids on.
OTHER_ID_WEIGHT = 0.1
NOT_PASSED_WEIGHT = 0.01
LINKS_MAX = 16

SECOND = 10**9
# How long after its parent's end a call with its id may begin: ids are not used again so soon.
ID_WINDOW_NS = 300 * SECOND
# How long a parent without a task may work on after its answer.
AFTER_ANSWER_NS = SECOND
# How long one with a task that was never seen to end may (CORRELATION section 3, horizon).
TASK_HORIZON_NS = 90 * SECOND
# A client whose address has been seen this long would be known as a service by now.
FRESH_CLIENT_NS = 2 * SECOND


class Scored(NamedTuple):
    parent: Action
    relation: Relation
    verb: float

    @property
    def weight(self) -> float:
        return self.relation.weight * self.verb


class Judge:
    def __init__(
        self, actions: Actions, inventory: Inventory, services: Services, habits: Habits
    ) -> None:
        self.actions = actions
        self.inventory = inventory
        self.services = services
        self.habits = habits

    def verdict(self, child: Action, now_ns: int, final: bool) -> Verdict:
        """The parent, as far as known now. `final`: nothing more is waited for."""
        return _Case(self, child).verdict(now_ns, final)


class _Case:
    """One child and what is looked up for it."""

    def __init__(self, judge: Judge, child: Action) -> None:
        self._actions = judge.actions
        self._inventory = judge.inventory
        self._services = judge.services
        self._habits = judge.habits
        self._child = child
        self._is_service = child.is_service or judge.services.is_service(child.client)
        self._known_view: View | None = None

    @property
    def _view(self) -> View:
        if self._known_view is None:
            self._known_view = View(self._child, self._child.client, self._inventory)
        return self._known_view

    def verdict(self, now_ns: int, final: bool) -> Verdict:
        child = self._child
        if child.given is not None:
            return Verdict(child.given.paths[0].cause, (), child.given.facts, sure=True)
        keyed, key = self._keyed()
        if child.hard:
            return self._hard(keyed)
        if self._is_service:
            for asked in child.asks:
                if is_background(asked):
                    return Verdict(Cause.NONE, (), (Fact("background", asked, "asserted"),), True)
        if keyed:
            return self._by_key(keyed, key)
        if not self._is_service:
            known_ns = now_ns - self._services.client_since(child.client, now_ns)
            return Verdict(Cause.NONE, sure=final or known_ns >= FRESH_CLIENT_NS)
        return self._without_key() if final else Verdict(Cause.UNSEEN)

    def _hard(self, keyed: list[Scored]) -> Verdict:
        """A reference settles it, unless another one, or the operation id, contradicts it."""
        facts = tuple(fact for _, fact in self._child.hard)
        parents = list(dict.fromkeys(seq for seq, _ in self._child.hard))
        by_id = [each.parent.seq for each in keyed]
        if by_id and not set(parents) & set(by_id):
            parents += [seq for seq in by_id if seq not in parents]
        if len(parents) == 1:
            return Verdict(Cause.EXPLICIT, (Link(parents[0], BY_TASK),), facts, True)
        facts += (Fact("key_conflict", " ".join(self._child.asks), "asserted"),)
        share = 1.0 / len(parents)
        links = tuple(Link(seq, share) for seq in parents[:LINKS_MAX])
        return Verdict(Cause.AMBIGUOUS, links, facts, sure=True, conflict=True)

    def _keyed(self) -> tuple[list[Scored], str]:
        """Candidates by operation id: those with the longest id, and that id."""
        for asked in self._child.asks:
            if is_background(asked):
                continue
            for key in parent_ids(asked):
                if self._actions.has_id(key):
                    found = self._carrying(key)
                    if found:
                        return [self._score(parent) for parent in found], key
        return [], ""

    def _carrying(self, key: str) -> list[Action]:
        """Actions with this id that may be the parent."""
        found = [each for each in self._actions.with_id(key) if self._may_carry(each, key)]
        there = [each for each in found if each.server == self._child.client]
        found = there or found
        if self._actions.is_crowded(key):
            kept = {parent.seq for parent in found}
            for parent in self._view.parents(self._actions):
                if key in parent.ids and parent.seq not in kept and self._may_carry(parent, key):
                    kept.add(parent.seq)
                    found.append(parent)
        return found

    def _may_carry(self, parent: Action, key: str) -> bool:
        """Is the parent one level up, begun before the child, and not long over?"""
        child = self._child
        if not begun_before(parent, child):
            return False
        if parent.server != child.client and not self._is_elsewhere(parent, key):
            return False
        if not parent.final:
            return True
        over_ns = max(parent.call.end_ns, parent.task_end_ns)
        return child.call.time_ns <= over_ns + ID_WINDOW_NS

    def _is_elsewhere(self, parent: Action, key: str) -> bool:
        """Could the child's client be another address of the service that the parent asked?

        A service behind a load balancer, or with a second network card. An address that serves is
        none: its own actions would be seen there.
        """
        child = self._child
        above = self._services.of_server(parent.server, parent.server_port)
        if not above or parent.server == child.server or self._services.serves(child.client):
            return False
        caller = self._services.of_client(child.client)
        return caller == above if caller else key == parent.call.request_id

    def _by_key(self, keyed: list[Scored], key: str) -> Verdict:
        """Several actions may carry the id: what they act on, and how, narrows them."""
        left, rivals = _narrowed(keyed)
        best = left[0]
        facts = [Fact("operation_id", key, "asserted"), *_facts_of(best)]
        contrary = best.relation.is_contrary and not self._is_request_id(key)
        if contrary:
            facts.append(Fact("key_conflict", key, "asserted"))
        weight = self._key_weight(best, key)
        is_firm = best.relation.is_definite or key == best.parent.call.request_id
        return Verdict(
            Cause.EXPLICIT,
            _shared_out(left, weight),
            tuple(facts),
            sure=weight >= CERTAIN and is_firm and _lead_to_one_head(keyed),
            conflict=contrary,
            rivals=rivals,
            shared_most=BY_SHARED_ID_AND_TARGET
            if best.relation.weight >= CERTAIN
            else CORRELATED_MOST,
        )

    def _key_weight(self, best: Scored, key: str) -> float:
        is_request_id = key == best.parent.call.request_id
        if not self._is_service:
            return BY_ID_FROM_ELSEWHERE
        if best.relation.is_contrary:
            return BY_ID if self._is_request_id(key) else BY_ID_AGAINST_TARGET
        if best.relation.is_definite:
            return BY_ID_AND_TARGET
        if is_request_id:
            return BY_REQUEST_ID
        is_there = best.parent.server == self._child.client
        return BY_ID if is_there else BY_ID_FROM_ELSEWHERE

    def _is_request_id(self, key: str) -> bool:
        """Did a service make this id for one request? Then all that has it comes from there.

        It may lead to a sibling of the parent, when the parent itself was not seen.
        """
        return any(each.call.request_id == key for each in self._actions.with_id(key))

    def _without_key(self) -> Verdict:
        """Same object and possible verb while the parent was at work; else time alone."""
        found = self._open_parents(self._view.parents(self._actions)) or self._open_parents(
            self._actions.around(self._child.client, self._child.seq)
        )
        found, _ = _narrowed(found)
        if not found or found[0].relation.is_contrary:
            return Verdict(Cause.UNSEEN, sure=True)
        weights = [each.weight * self._likeliness(each.parent) for each in found]
        if sum(weights) < UNSEEN_WEIGHT:
            return Verdict(Cause.UNSEEN, sure=True)
        total = sum(weights) + UNSEEN_WEIGHT
        most = _most(found[0].relation)
        links = sorted(
            (
                Link(each.parent.seq, min(most, weight / total))
                for each, weight in zip(found, weights, strict=True)
            ),
            key=lambda link: (-link.weight, link.parent),
        )[:LINKS_MAX]
        cause = Cause.CORRELATED if len(links) == 1 else Cause.AMBIGUOUS
        facts = (*_facts_of(found[0]), Fact("nesting", self._child.client, "inferred"))
        return Verdict(cause, tuple(links), facts, sure=True, shared_most=most)

    def _open_parents(self, parents: Iterable[Action]) -> list[Scored]:
        unique = {parent.seq: parent for parent in parents if _is_at_work(parent, self._child)}
        scored = [self._score(parent) for parent in unique.values()]
        return [each for each in scored if each.verb > IMPOSSIBLE]

    def _score(self, parent: Action) -> Scored:
        view = self._view
        if parent.server != self._child.client:
            view = View(self._child, parent.server, self._inventory)
        return Scored(parent, view.relation(parent), compatible(parent.verb, self._child.verb))

    def _likeliness(self, parent: Action) -> float:
        """Sooner is likelier; and a parent with an id would have passed it on."""
        recency = 1.0 / (1.0 + (self._child.call.time_ns - parent.call.time_ns) / SECOND)
        if not self._child.asks or not parent.ids:
            return recency
        if self._habits.passes_ids(self._child.client):
            return recency * NOT_PASSED_WEIGHT
        return recency * (OTHER_ID_WEIGHT if parent.call.operation_id else 1.0)


def begun_before(parent: Action, child: Action) -> bool:
    """In packet time; of two that began at once, the one that ended first."""
    return (parent.call.time_ns, parent.seq) < (child.call.time_ns, child.seq)


def _is_at_work(parent: Action, child: Action) -> bool:
    """Could the parent cause something at the child's beginning, going by time alone?"""
    if not begun_before(parent, child):
        return False
    start_ns, end_ns = child.call.time_ns, parent.call.end_ns
    if parent.task_end_ns:
        return start_ns <= parent.task_end_ns
    if parent.call.task:
        return start_ns <= end_ns + TASK_HORIZON_NS
    if parent.outcome is Outcome.FAILURE:
        return start_ns <= end_ns
    return start_ns <= end_ns + AFTER_ANSWER_NS


def _narrowed(scored: list[Scored]) -> tuple[list[Scored], tuple[int, ...]]:
    """Candidates whose object and verb fit best, best first; and what was left out."""
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


def _shared_out(left: list[Scored], weight: float) -> tuple[Link, ...]:
    """The probability of a key, over the candidates that have it."""
    if len(left) == 1:
        return (Link(left[0].parent.seq, weight),)
    total = sum(each.weight for each in left)
    return tuple(Link(each.parent.seq, weight * each.weight / total) for each in left[:LINKS_MAX])


def _lead_to_one_head(keyed: list[Scored]) -> bool:
    """Does it not matter which of them it is?"""
    if len(keyed) == 1:
        return True
    heads = {tuple(path.pairs for path in each.parent.paths) for each in keyed}
    return len(heads) == 1 and () not in heads


def _facts_of(scored: Scored) -> tuple[Fact, ...]:
    relation = scored.relation
    return (Fact(relation.key, relation.value, relation.grade),) if relation.key else ()


def _most(relation: Relation) -> float:
    if relation.is_definite:
        return CORRELATED_MOST
    return BY_LIKE_NAME_MOST if relation.key else BY_TIME_MOST
