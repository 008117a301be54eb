"""Actions -> hops -> chains, streaming, in packet time.

A pure state machine: no clocks, no I/O, all state plain data. An action waits until its chain is
decided and its outcome final, at most `hold_ns` after its end; what is learned later amends it.
`take` gives what is to be said, in the order in which it was decided.
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from decoders.message import TaskChanged
from sensor.correlate import chains
from sensor.correlate.actions import Action, Actions, Cause, Fact, Pairs, Verdict
from sensor.correlate.experience import Experience
from sensor.correlate.guess import Guesser
from sensor.correlate.habits import Habits
from sensor.correlate.inventory import Inventory, object_id
from sensor.correlate.judge import Judge
from sensor.correlate.learning import learn_from_hop, learn_from_result, learn_service
from sensor.correlate.orphans import Orphans
from sensor.correlate.rivals import Rivals
from sensor.correlate.scores import begun_before, only_effect
from sensor.services import Services

V = TypeVar("V")
SECOND = 10**9
# After bytes were missed, or actions shed, a cause may be among them for so long.
BLIND_NS = 60 * SECOND
BLIND_DOUBT = 25.0
TAUGHT_LEAST = 0.9  # a hop less probable teaches nothing
REDRAWN_MAX = 4  # times that one change redraws an action: more is a loop of references
AMENDMENTS_MAX = 16  # per action; an action changes a few times in its life, not more


@dataclass(frozen=True, slots=True)
class Limits:
    hold_ns: int = 2 * SECOND  # allowed lateness: what is not decided by keys is decided then
    provisional_ns: int = SECOND // 5  # what is certain enough is said then; 0: never
    horizon_ns: int = 900 * SECOND  # how long an action may still be amended, or be a parent
    task_horizon_ns: int = 24 * 3600 * SECOND  # the same while its task is open
    actions_max: int = 100_000  # about 3 kB each
    waiting_ids_max: int = 100_000
    task_references_max: int = 10_000


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
        self._judge = Judge(self.actions, inventory, services)
        self._guesser = Guesser(self.actions, inventory, services, self.habits, self.experience)
        self._rivals = Rivals(self.actions)
        self._due: list[tuple[int, int]] = []  # heap of (deadline, action)
        self.orphans = Orphans(limits.waiting_ids_max)
        self._lower_tasks: OrderedDict[tuple[str, str], int] = OrderedDict()  # (cloud, task)
        self._parent_tasks: OrderedDict[tuple[str, str], str] = OrderedDict()  # (server, task)
        self._now_ns = self._blind_until_ns = 0
        self._age_ns = 0  # when old actions are looked for next
        self._said: list[Said] = []
        self.pending = 0
        self.references_shed = 0
        self.amendments_shed = 0

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
        self._now_ns = max(self._now_ns, action.call.end_ns)
        action.deadline_ns = action.call.end_ns + self._limits.hold_ns
        self.actions.add(action)
        self.pending += 1
        heapq.heappush(self._due, (action.deadline_ns, action.seq))
        self._refer(action)
        self._consider(action, final=False)
        if self._limits.provisional_ns and not action.settled:
            early_ns = action.call.end_ns + self._limits.provisional_ns
            if early_ns < action.deadline_ns:
                heapq.heappush(self._due, (early_ns, action.seq))
        if action.final:
            learn_from_result(self._inventory, self.actions, action)
        self._wake(action)
        if self.actions.is_full:
            self._shed()

    def _shed(self) -> None:
        """The oldest action leaves before its time."""
        self.lost(self._now_ns)
        if not self.actions.shed_one() and self._due:
            self._close(self._due[0][0])
            self.actions.shed_one()

    def task(self, server: str, message: TaskChanged) -> Action | None:
        """A task ended; the action that started it, if this is news."""
        if message.parent_task:
            self._parent_tasks[server, object_id(message.task)] = object_id(message.parent_task)
            self._bound(self._parent_tasks)
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
            self._follow(action, True, reason)
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
            if due_ns < action.deadline_ns:
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
                if parent.deadline_ns > limit_ns:
                    heapq.heappush(self._due, (parent.deadline_ns, action.seq))
                    return
                self._close_one(parent, limit_ns)
            if not action.settled:
                self._follow(action, True, "")
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
        if not verdict.links or any(not each.settled for each in self._parents(verdict)):
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
        action.is_provisional = False
        if verdict == action.verdict:
            self._learn(action, verdict)  # what was said early has not taught yet
        self._settle(action, verdict, "final")

    def _guess(self, action: Action) -> Verdict:
        is_blind = action.call.time_ns < self._blind_until_ns
        self._guesser.doubt = BLIND_DOUBT if is_blind else 1.0
        return self._guesser.guess(action, self._rivals.of(action))

    def _parents(self, verdict: Verdict | None) -> list[Action]:
        links = verdict.links if verdict is not None else ()
        return [each for link in links if (each := self.actions.get(link.parent)) is not None]

    def _open_parents(self, action: Action) -> list[Action]:
        return [each for each in self._parents(action.verdict) if not each.settled]

    def _consider(self, action: Action, final: bool, reason: str = "") -> None:
        """Judge the action; a verdict that may still change waits for the deadline."""
        if action.legs_due and not final:
            return
        verdict = self._judge.verdict(action, self._now_ns, final)
        if action.asks and verdict.cause is not Cause.EXPLICIT:
            self.orphans.watch(action)
        if verdict.cause is Cause.UNSEEN and not verdict.sure:
            if not final:
                self._rivals.add(action)
                return
            verdict = self._guess(action)
        if not (verdict.sure or final):
            return
        self._settle(action, verdict, reason)

    def _settle(self, action: Action, verdict: Verdict, reason: str) -> None:
        self._teach(action, verdict)
        self._rivals.leave(action)
        for former in self._parents(action.verdict):
            former.children.pop(action.seq, None)
        action.verdict = verdict
        for parent in self._parents(verdict):
            parent.children[action.seq] = None
        self._follow(action, False, reason)

    def _teach(self, action: Action, verdict: Verdict) -> None:
        """A hop that keys tell, or nearly all of the evidence."""
        if not action.is_provisional and verdict != action.verdict:
            self._learn(action, verdict)

    def _learn(self, action: Action, verdict: Verdict) -> None:
        weight = verdict.links[0].weight if verdict.links else 0.0
        parent = self.actions.get(verdict.links[0].parent) if weight >= TAUGHT_LEAST else None
        if parent is None or verdict.conflict:
            return
        if verdict.cause is Cause.EXPLICIT and action.asks:
            self._guesser.rehearse(action, parent)
        self._guesser.learn(action, parent, weight)

    def _follow(self, action: Action, final: bool, reason: str) -> None:
        """Draw the paths anew, and those of everything below, if all above is settled."""
        drawn = Counter[int]()
        due = [(action.call.time_ns, action.seq)]  # causes begin first: nearly all are drawn once
        while due:
            _, seq = first = heapq.heappop(due)
            each = self.actions.get(seq)
            if each is None or each.verdict is None or first in due[:1]:
                continue
            is_final = final if each is action else each.settled
            if drawn[seq] >= REDRAWN_MAX or (not is_final and self._open_parents(each)):
                continue
            drawn[seq] += 1
            if self._draw(each, each.verdict):
                for child in filter(None, map(self.actions.get, each.children)):
                    heapq.heappush(due, (child.call.time_ns, child.seq))
        for each in chains.below_first(action, drawn, self.actions):
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
            if chains.gist(action) != action.said:
                self._say(action, reason or "chain decided")
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
            self._note_habit(action)
        action.emitted = True
        action.said = chains.gist(action)
        self._said.append(Said(action, reason))

    def _note_habit(self, action: Action) -> None:
        """Did the id of a service's call lead to a parent?"""
        if action.asks and action.verdict is not None and not (action.hard or action.given):
            cause = action.verdict.cause
            if cause is not Cause.NONE:
                self.habits.note(action.client, cause is Cause.EXPLICIT)

    def _again(self, action: Action) -> None:
        """A key came late."""
        verdict = self._judge.verdict(action, self._now_ns, action.emitted)
        if verdict == action.verdict or verdict.cause is Cause.UNSEEN:
            return
        if action.emitted and not (verdict.cause is Cause.EXPLICIT or verdict.conflict):
            return
        self._consider(action, action.emitted, "parent seen")

    def _wake(self, parent: Action) -> None:
        """A new action may be what those with its id have been waiting for."""
        for key in parent.ids:
            for seq in self.orphans.waiting(key):
                orphan = self.actions.get(seq)
                if orphan is None or not begun_before(parent, orphan):
                    continue
                if orphan.client == parent.server or not self._services.serves(orphan.client):
                    self._again(orphan)

    def _refer(self, action: Action) -> None:
        """Has a cloud's task already named the task that this action started?"""
        if action.call.task:
            key = (action.client, object_id(action.call.task))
            parent = self.actions.get(self._lower_tasks.get(key, 0))
            if parent is not None and begun_before(parent, action):
                del self._lower_tasks[key]
                action.hard += ((parent.seq, Fact("task", key[1], "proved")),)

    def _lower_task(self, parent: Action, task: str) -> None:
        """`parent`, at a cloud, says that it started this task further down."""
        task = object_id(task)
        child = only_effect(parent, self.actions.of_client_task(parent.server, task))
        if child is None:
            self._lower_tasks[parent.server, task] = parent.seq
            self._bound(self._lower_tasks)
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

    def _bound(self, table: OrderedDict[tuple[str, str], V]) -> None:
        if len(table) > self._limits.task_references_max:
            table.popitem(last=False)
            self.references_shed += 1
