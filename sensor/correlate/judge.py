"""Who caused this action, by keys: the ladder of evidence, strongest rung first.

Pure: reads the tables, changes nothing. The weights are fixed, and ordered by what the evidence is
worth. A call without a key is for `guess`.
"""

from collections.abc import Sequence

from sensor.correlate.actions import NAMESAKES_MAX, Action, Actions, Cause, Fact, Link, Verdict
from sensor.correlate.chains import CERTAIN
from sensor.correlate.inventory import Inventory
from sensor.correlate.keys import is_background, parent_ids
from sensor.correlate.passed import PassedIds
from sensor.correlate.relations import View
from sensor.correlate.scores import Scored, Scorer, begun_before, narrowed
from sensor.services import Services

# Probability of a parent, by the evidence for it.
BY_TASK = 0.999  # a service says which task it started
BY_ID_AND_TARGET = 0.995
BY_REQUEST_ID = 0.99  # an id that the server made, which nobody else can guess
BY_ID = 0.97  # an id that a client chose
BY_SHARED_ID_AND_TARGET = 0.96  # the id leads to several heads, what is acted on to one
BY_ID_FROM_ELSEWHERE = 0.85  # from an address that is not known to be the parent's service
# From who is not known to be the parent's service either by address or by account: an address of
# it that was never seen, or somebody who copied the id. The id cannot tell them apart.
BY_ID_OF_STRANGER = 0.5
BY_ID_AGAINST_TARGET = 0.5  # the id says yes, what is acted on says no
SHARED_ID_MOST = 0.94  # the id leads to several heads, and nothing else tells which

LINKS_MAX = 16

SECOND = 10**9
# How long after its parent's end a call with its id may begin: ids are not used again so soon.
ID_WINDOW_NS = 300 * SECOND
# A client whose address has been seen this long would be known as a service by now.
FRESH_CLIENT_NS = 2 * SECOND


# Verdicts that nothing varies.
HEAD, HEAD_SO_FAR = Verdict(Cause.NONE, sure=True), Verdict(Cause.NONE)
UNKEYED = Verdict(Cause.UNSEEN)


class Judge:
    def __init__(
        self, actions: Actions, inventory: Inventory, services: Services, passed: PassedIds
    ) -> None:
        self.actions = actions
        self.inventory = inventory
        self.services = services
        self.passed = passed

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
        self._passed = judge.passed
        self._child = child
        self._is_service = child.is_service or judge.services.is_service(child.client)
        self._inventory = judge.inventory

    def verdict(self, now_ns: int, final: bool) -> Verdict:
        child = self._child
        if child.given is not None:
            return Verdict(child.given.paths[0].cause, (), child.given.facts, sure=True)
        background = tuple(filter(is_background, child.asks))
        carriers, key = self._carriers(background)
        if child.hard:
            return self._hard([each.seq for each in carriers])
        if self._is_service and background:
            return Verdict(Cause.NONE, (), (Fact("background", background[0], "asserted"),), True)
        if carriers:
            return self._by_key(carriers, key)
        if self._is_service:
            return UNKEYED
        known_ns = now_ns - self._services.client_since(child.client, now_ns)
        return HEAD if final or known_ns >= FRESH_CLIENT_NS else HEAD_SO_FAR

    def _hard(self, by_id: list[int]) -> Verdict:
        """A reference settles it, unless another one, or the operation id, contradicts it."""
        facts = tuple(fact for _, fact in self._child.hard)
        parents = list(dict.fromkeys(seq for seq, _ in self._child.hard))
        if by_id and not set(parents) & set(by_id):
            parents += [seq for seq in by_id if seq not in parents]
        if len(parents) == 1:
            return Verdict(Cause.EXPLICIT, (Link(parents[0], BY_TASK),), facts, True)
        facts += (Fact("key_conflict", " ".join(self._child.asks), "asserted"),)
        share = 1.0 / len(parents)
        links = tuple(Link(seq, share) for seq in parents[:LINKS_MAX])
        return Verdict(Cause.AMBIGUOUS, links, facts, sure=True, conflict=True)

    def _carriers(self, background: Sequence[str]) -> tuple[list[Action], str]:
        """Possible parents by operation id: those with the longest id, and that id."""
        own = (self._child.seq,)
        for asked in self._child.asks:
            for key in parent_ids(asked) if asked not in background else ():
                seqs = self._actions.seqs_with_id(key)
                if seqs and seqs != own:
                    found = self._carrying(key, seqs)
                    if found:
                        return found, key
        return [], ""

    def _carrying(self, key: str, seqs: Sequence[int]) -> list[Action]:
        """Actions with this id that may be the parent."""
        child = self._child
        found = [each for each in self._actions.known(seqs) if self._may_carry(each, key)]
        if len(found) > 1:
            found = [each for each in found if each.server == child.client] or found
        if len(seqs) >= NAMESAKES_MAX:
            kept = {parent.seq for parent in found}
            for parent in View(child, child.client, self._inventory).parents(self._actions):
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

    def _by_key(self, carriers: list[Action], key: str) -> Verdict:
        """Several actions may carry the id: what they act on, and how, narrows them."""
        scorer = Scorer(self._child, self._inventory)
        keyed = [scorer.score(parent) for parent in carriers]
        left, rivals = narrowed(keyed)
        best = left[0]
        if self._is_stranger(best.parent, key):
            return self._of_stranger(left, key)
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

    def _is_stranger(self, parent: Action, key: str) -> bool:
        """Does nothing but the id say that the child's client is the service that was asked?"""
        child, services = self._child, self._services
        if self._is_service:
            return child.is_claimed and self._is_contradicted(parent, key)
        if parent.server == child.client:
            return False
        if self._passed.others(child, key):
            return True
        above = services.of_server(parent.server, parent.server_port)
        return not services.may_be(child.client, above, (child.server, child.account))

    def _is_contradicted(self, parent: Action, key: str) -> bool:
        """Does the service that was asked have another account where the child went?"""
        child, services = self._child, self._services
        if not child.account or not self._is_request_id(key):
            return False
        if any(each.account != child.account for each in self._passed.others(child, key)):
            return True
        above = services.of_server(parent.server, parent.server_port)
        return services.acts_otherwise(above, (child.server, child.account))

    def _of_stranger(self, left: list[Scored], key: str) -> Verdict:
        child, links = self._child, _shared_out(left, BY_ID_OF_STRANGER)
        facts = [Fact("operation_id", key, "asserted"), *left[0].facts]
        if self._services.site.excludes(child.client):
            return Verdict(Cause.NONE, (), tuple(facts), sure=True)
        conflict = self._is_contradicted(left[0].parent, key)
        if conflict:
            facts.append(Fact("key_conflict", key, "asserted"))
        alone = 1.0 - BY_ID_OF_STRANGER
        return Verdict(Cause.AMBIGUOUS, links, tuple(facts), conflict=conflict, alone=alone)

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
