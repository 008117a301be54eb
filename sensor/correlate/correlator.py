"""Actions -> hops -> chains, streaming, in packet time.

A pure state machine: no clocks, no I/O, all state plain data. An action waits until its chain is
decided and its outcome final, at most `hold_ns` after its end; what is learned later amends it.
`take` gives what is to be said, in the order in which it was decided.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Collection
from typing import NamedTuple

from decoders.message import TaskChanged
from sensor.correlate import chains
from sensor.correlate.actions import Action, Actions, Cause, Fact, Pairs, Verdict
from sensor.correlate.experience import Experience
from sensor.correlate.guess import Guesser
from sensor.correlate.habits import Habits
from sensor.correlate.inventory import Inventory, object_id
from sensor.correlate.judge import Judge
from sensor.correlate.learning import learn_from_hop, learn_from_result, learn_service
from sensor.correlate.limits import Limits
from sensor.correlate.orphans import Orphans
from sensor.correlate.passed import PassedIds
from sensor.correlate.references import References
from sensor.correlate.rivals import Rivals
from sensor.correlate.scores import begun_before, only_effect
from sensor.services import Services

SECOND = 10**9
# After bytes were missed, or actions shed, a cause may be among them for so long.
BLIND_NS = 60 * SECOND
BLIND_DOUBT = 25.0
TAUGHT_LEAST = 0.9  # a hop less probable teaches nothing
REDRAWN_MAX = 4  # times that one change redraws an action: more is a loop of references
AMENDMENTS_MAX = 16  # per action; an action changes a few times in its life, not more


class Said(NamedTuple):
    """An action to be recorded, for the first time or again."""

    action: Action
    reason: str  # of an amendment; "" the first time


class Correlator:
    def __init__(
        self,
        limits: Limits,
        services: Services,
        inventory: Inventory,
        own_pairs: Callable[[Action], Pairs],
    ) -> None:
        self._limits = limits
        self._services = services
        self._inventory = inventory
        self._own_pairs = own_pairs
        self.actions = Actions(limits.actions_max, limits.horizon_ns, limits.task_horizon_ns)
        self.habits = Habits()
        self.experience = Experience()
        self.passed = PassedIds(limits.waiting_ids_max)
        self._judge = Judge(self.actions, inventory, services, self.passed)
        self._guesser = Guesser(self.actions, inventory, services, self.habits, self.experience)
        self._rivals = Rivals(self.actions)
        self._due: list[tuple[int, int]] = []  # heap of (deadline, action)
        self.orphans = Orphans(limits.waiting_ids_max)
        self.references = References(limits.task_references_max)
        self._now_ns = self._blind_until_ns = 0
        self._age_ns = 0  # when old actions are looked for next
        self._said: list[Said] = []
        self.pending = 0
        self.amendments_shed = 0
        self.redraws_shed = 0

    @property
    def has_news(self) -> bool:
        return bool(self._said)

    def take(self) -> list[Said]:
        said, self._said = self._said, []
        return said

    def lost(self, time_ns: int) -> None:
        """Something that may have been a cause was not seen."""
        self._blind_until_ns = max(self._blind_until_ns, time_ns + BLIND_NS)

    def add(self, action: Action) -> None:
        """A new action; its ids, objects and names are set."""
        if action.call.end_ns > self._now_ns:
            self._now_ns = action.call.end_ns
        self.actions.add(action)
        self.passed.made(action)
        self.pending += 1
        self._refer(action)
        self._consider(action, final=False)
        if not action.emitted:
            self._wait(action)
        if action.final:
            learn_from_result(self._inventory, self.actions, action)
        self._wake(action)
        if self.actions.is_full:
            self._shed()

    def _wait(self, action: Action) -> None:
        heapq.heappush(self._due, (self._deadline_ns(action), action.seq))
        early_ns = self._limits.provisional_ns
        if 0 < early_ns < self._limits.hold_ns and not action.settled:
            heapq.heappush(self._due, (action.call.end_ns + early_ns, action.seq))

    def _deadline_ns(self, action: Action) -> int:
        return action.call.end_ns + self._limits.hold_ns

    def _shed(self) -> None:
        """The oldest action leaves before its time."""
        self.lost(self._now_ns)
        if not self.actions.shed_one() and self._due:
            self._close(self._due[0][0])
            self.actions.shed_one()

    def task(self, server: str, message: TaskChanged) -> Action | None:
        """A task ended; the action that started it, if this is news."""
        action = self.actions.of_task(server, message.task)
        if action is None:
            return None
        for task in message.lower_tasks:
            self._lower_task(action, task)
        if message.activation_id and message.activation_id not in action.asks:
            action.asks += (message.activation_id,)
            self.actions.add_id(action, message.activation_id)
            self._again(action)
        if message.parent_task:
            self._parent_task(action, server, message.parent_task)
        if action.task_end_ns:
            return None
        self._ended(action, message)
        return action

    def other_leg(self, action: Action, client: str, port: int, fact: Fact) -> None:
        """The same call was seen on its way to a proxy: that is who asked."""
        self.actions.move_client(action, client, port)
        action.facts += (fact,)
        action.legs_due = False
        self._refer(action)
        self._consider(action, action.emitted, "proxy passed")
        self._ready(action, "proxy passed")

    def changed(self, action: Action, reason: str) -> None:
        """Something that the action's record says was learned."""
        if action.settled:
            self._follow([action], True, reason)
        self._ready(action, reason)

    def advance(self, now_ns: int) -> None:
        """Packet time has come to now_ns: what has waited long enough is decided."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        if self._due and self._due[0][0] <= now_ns:
            self._close(now_ns)
        if now_ns >= self._age_ns:
            self._age_ns = now_ns + SECOND
            self.actions.age(now_ns)

    def finish(self) -> None:
        while self._due:
            self._close(self._due[0][0])

    def _close(self, limit_ns: int) -> None:
        while self._due and self._due[0][0] <= limit_ns:
            due_ns, seq = heapq.heappop(self._due)
            action = self.actions.get(seq)
            if action is None:
                continue
            if due_ns < self._deadline_ns(action):
                self._close_early(action)
            elif action.is_provisional:
                self._confirm(action)
            elif not action.emitted:
                self._close_one(action, limit_ns)

    def _close_one(self, action: Action, limit_ns: int) -> None:
        """Decide now, with what is known; but a parent that may still wait is waited for."""
        if not action.settled:
            if action.verdict is None:
                self._consider(action, final=True)
            for parent in self._open_parents(action):
                if self._deadline_ns(parent) > limit_ns:
                    heapq.heappush(self._due, (self._deadline_ns(parent), action.seq))
                    return
                self._close_one(parent, limit_ns)
            if not action.settled:
                self._follow([action], True, "")
        action.legs_due = False
        if not action.emitted:
            self._say(action, "")

    def _close_early(self, action: Action) -> None:
        """Say who it was before all is in, if that is certain and everything above stands."""
        if action.settled or action.verdict is not None or action.legs_due or not action.final:
            return
        verdict = self._judge.verdict(action, self._now_ns, False)
        if verdict.cause is not Cause.UNSEEN or verdict.sure:
            return
        verdict = self._guess(action)
        if not verdict.links or any(not each.settled for each in self.actions.parents(verdict)):
            return
        paths = chains.paths_of(action, verdict, self._own_pairs(action), self.actions)
        if chains.stated(paths).cause is Cause.CORRELATED:
            action.is_provisional = True
            self._settle(action, verdict, "")

    def _confirm(self, action: Action) -> None:
        """What was said early is said again, for good: with what has come since."""
        verdict = self._judge.verdict(action, self._now_ns, True)
        if verdict.cause is Cause.UNSEEN and not verdict.sure:
            verdict = self._guess(action)
        action.is_provisional, action.is_final_due = False, True
        if verdict == action.verdict and verdict.links:
            self._learn(action, verdict)  # what was said early has not taught yet
        self._settle(action, verdict, "")

    def _guess(self, action: Action) -> Verdict:
        is_blind = action.call.time_ns < self._blind_until_ns
        self._guesser.doubt = BLIND_DOUBT if is_blind else 1.0
        return self._guesser.guess(action, self._rivals.of(action))

    def _open_parents(self, action: Action) -> list[Action]:
        return [each for each in self.actions.parents(action.verdict) if not each.settled]

    def _consider(self, action: Action, final: bool, reason: str = "") -> None:
        verdict = self._weigh(action, final)
        if verdict is not None:
            self._settle(action, verdict, reason)

    def _weigh(self, action: Action, final: bool) -> Verdict | None:
        """Judge the action; a verdict that may still change waits for the deadline."""
        if action.legs_due and not final:
            return None
        verdict = self._judge.verdict(action, self._now_ns, final)
        if action.asks and verdict.cause is not Cause.EXPLICIT:
            self.orphans.watch(action)
        if verdict.cause is Cause.UNSEEN and not verdict.sure:
            if not final:
                self._rivals.add(action)
                return None
            verdict = self._guess(action)
        return verdict if verdict.sure or final else None

    def _settle(self, action: Action, verdict: Verdict, reason: str) -> None:
        self._decide(action, verdict)
        if action.children:
            self._follow([action], False, reason)
        elif not self._open_parents(action):  # nothing below it, as nearly always
            self._draw(action, verdict)
            self._ready(action, reason)

    def _decide(self, action: Action, verdict: Verdict) -> None:
        if verdict.links and not action.is_provisional and verdict != action.verdict:
            self._learn(action, verdict)
        self._rivals.leave(action)
        if action.verdict is not None:
            self.actions.disown(action)
        action.verdict = verdict
        for parent in self.actions.parents(verdict):
            parent.children += (action.seq,)

    def _learn(self, action: Action, verdict: Verdict) -> None:
        """A hop that keys tell, or nearly all of the evidence."""
        best, weight = verdict.links[0]
        parent = self.actions.get(best) if weight >= TAUGHT_LEAST else None
        if parent is None or verdict.conflict:
            return
        if verdict.cause is Cause.EXPLICIT and action.asks:
            self._guesser.rehearse(action, parent)
        self._guesser.learn(action, parent, weight)

    def _follow(self, tops: Collection[Action], final: bool, reason: str) -> None:
        """Draw the paths anew, and those of everything below, if all above is settled."""
        drawn, changed = Counter[int](), {top.seq for top in tops}
        due = [(top.call.time_ns, top.seq) for top in tops]
        heapq.heapify(due)  # causes begin first: nearly all are drawn once
        while due:
            _, seq = first = heapq.heappop(due)
            each = self.actions.get(seq)
            if each is None or each.verdict is None or first in due[:1]:
                continue
            is_final = final if seq in changed else each.settled
            if not is_final and self._open_parents(each):
                continue
            if drawn[seq] >= REDRAWN_MAX:
                self.redraws_shed += 1
                continue
            drawn[seq] += 1
            if self._draw(each, each.verdict):
                for child in filter(None, map(self.actions.get, each.children)):
                    heapq.heappush(due, (child.call.time_ns, child.seq))
        for each in chains.below_first(tops, drawn, self.actions):
            self._ready(each, reason)

    def _draw(self, action: Action, verdict: Verdict) -> bool:
        """Has anything changed for what is below?"""
        before = action.paths
        action.paths = chains.paths_of(action, verdict, self._own_pairs(action), self.actions)
        if action.settled and before == action.paths:
            return False
        action.settled = True
        learn_from_hop(self._inventory, self.actions, action)
        learn_service(self._services, self.actions, action)
        return True

    def _ready(self, action: Action, reason: str) -> None:
        if not action.settled:
            return
        if action.emitted:
            if hash(chains.gist(action)) != action.said:
                self._say(action, "final" if action.is_final_due else reason or "chain decided")
        elif action.final and not action.legs_due:
            self._say(action, "")

    def _say(self, action: Action, reason: str) -> None:
        if action.emitted:
            action.amendments += 1
            if action.amendments > AMENDMENTS_MAX:
                self.amendments_shed += 1
                return
        else:
            self.pending -= 1
            self.habits.learn(action)
        action.emitted = True
        action.said, action.is_final_due = hash(chains.gist(action)), False
        self._said.append(Said(action, reason))

    def _again(self, *actions: Action) -> None:
        """A key came late. All are judged before anything below them is drawn anew."""
        self._follow([each for each in actions if self._has_changed(each)], False, "parent seen")

    def _has_changed(self, action: Action) -> bool:
        verdict = self._judge.verdict(action, self._now_ns, action.emitted)
        if verdict == action.verdict or verdict.cause is Cause.UNSEEN:
            return False
        if action.emitted and not (verdict.cause is Cause.EXPLICIT or verdict.conflict):
            return False
        weighed = self._weigh(action, action.emitted)
        if weighed is not None:
            self._decide(action, weighed)
        return weighed is not None

    def _wake(self, parent: Action) -> None:
        """A new action may be what those with its id have been waiting for."""
        found = []
        for key in parent.ids:
            for seq in self.orphans.waiting(key):
                orphan = self.actions.get(seq)
                if orphan is None or orphan is parent or not begun_before(parent, orphan):
                    continue
                if orphan.client == parent.server or not self._services.serves(orphan.client):
                    found.append(orphan)
        if found:
            self._again(*found)

    def _refer(self, action: Action) -> None:
        """Has a cloud's task already named the task that this action started?"""
        if not action.call.task:
            return
        key = (action.client, object_id(action.call.task))
        parent = self.actions.get(self.references.parent(key))
        if parent is not None and begun_before(parent, action):
            self.references.drop(key)
            action.hard += ((parent.seq, Fact("task", key[1], "proved")),)

    def _lower_task(self, parent: Action, task: str) -> None:
        """`parent`, at a cloud, says that it started this task further down."""
        task = object_id(task)
        child = only_effect(parent, self.actions.of_client_task(parent.server, task))
        if child is None:
            self.references.keep((parent.server, task), parent.seq)
        else:
            self.refer(child, parent, Fact("task", task, "proved"))

    def _parent_task(self, action: Action, server: str, task: str) -> None:
        parent = self.actions.of_task(server, task)
        if parent is not None and parent.seq < action.seq:
            self.refer(action, parent, Fact("parent_task", object_id(task), "proved"))

    def refer(self, child: Action, parent: Action, fact: Fact) -> None:
        """Something that proves who asked for the child has come to light."""
        if all(seq != parent.seq for seq, _ in child.hard):
            child.hard += ((parent.seq, fact),)
            child.given = None
            self._again(child)

    def _ended(self, action: Action, message: TaskChanged) -> None:
        action.task_end_ns = message.end_ns
        action.outcome, action.fault, action.final = message.outcome, message.fault, True
        if message.result.id:
            action.result = message.result
            self.actions.add_object(action, object_id(message.result.id))
        learn_from_result(self._inventory, self.actions, action)
        self._ready(action, "task ended")
