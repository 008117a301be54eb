"""Who caused this action, by keys: the ladder of evidence, strongest rung first.

Pure: reads the tables, changes nothing. The weights are fixed, and ordered by what the evidence is
worth. A call without a key is for `guess`.
"""

from sensor.correlate.actions import Action, Actions, Cause, Fact, Link, Verdict
from sensor.correlate.chains import CERTAIN
from sensor.correlate.inventory import Inventory
from sensor.correlate.keys import is_background, parent_ids
from sensor.correlate.scores import Scored, Scorer, begun_before, narrowed
from sensor.services import Services

# Probability of a parent, by the evidence for it.
BY_TASK = 0.999  # a service says which task it started
BY_ID_AND_TARGET = 0.995
BY_REQUEST_ID = 0.99  # an id that the server made, which nobody else can guess
BY_ID = 0.97  # an id that a client chose
BY_SHARED_ID_AND_TARGET = 0.96  # the id leads to several heads, what is acted on to one
BY_ID_FROM_ELSEWHERE = 0.85  # from an address that is not known to be the parent's service
BY_ID_AGAINST_TARGET = 0.5  # the id says yes, what is acted on says no
SHARED_ID_MOST = 0.94  # the id leads to several heads, and nothing else tells which

LINKS_MAX = 16

SECOND = 10**9
# How long after its parent's end a call with its id may begin: ids are not used again so soon.
ID_WINDOW_NS = 300 * SECOND
# A client whose address has been seen this long would be known as a service by now.
FRESH_CLIENT_NS = 2 * SECOND


class Judge:
    def __init__(self, actions: Actions, inventory: Inventory, services: Services) -> None:
        self.actions = actions
        self.inventory = inventory
        self.services = services

    def verdict(self, child: Action, now_ns: int, final: bool) -> Verdict:
        """What keys say, as far as known now. `final`: nothing more is waited for.

        A service's call without a key has the cause UNSEEN, not `sure`.
        """
        return _Case(self, child).verdict(now_ns, final)


class _Case:
    """One child and what is looked up for it."""

    def __init__(self, judge: Judge, child: Action) -> None:
        self._actions = judge.actions
        self._services = judge.services
        self._child = child
        self._is_service = child.is_service or judge.services.is_service(child.client)
        self._scorer = Scorer(child, judge.inventory)

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
        return Verdict(Cause.UNSEEN)

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
                        return [self._scorer.score(parent) for parent in found], key
        return [], ""

    def _carrying(self, key: str) -> list[Action]:
        """Actions with this id that may be the parent."""
        found = [each for each in self._actions.with_id(key) if self._may_carry(each, key)]
        there = [each for each in found if each.server == self._child.client]
        found = there or found
        if self._actions.is_crowded(key):
            kept = {parent.seq for parent in found}
            for parent in self._scorer.view.parents(self._actions):
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
        left, rivals = narrowed(keyed)
        best = left[0]
        facts = [Fact("operation_id", key, "asserted"), *best.facts]
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
            else SHARED_ID_MOST,
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
