"""Actions in flight and just past, and the key tables by which one finds the other.

Each action stands in every table under its keys; tables hold sequence numbers, so that all of it
is plain data. An action leaves when it is older than the horizon and its task has ended, or when
there are too many.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeVar

from decoders.message import Call, GuestLogin, GuestLogout, Login, Outcome, Target
from sensor.correlate.inventory import object_id
from sensor.correlate.verbs import Verb
from sensor.flows import Flow
from sensor.records import Tls

# Most actions kept under one key: a client may send one operation id for its whole life.
NAMESAKES_MAX = 32
# Actions of a host that are looked at when nothing but time is left to go by: begun before the
# child and ended before it, or after it.
RECENT_BEFORE, RECENT_AFTER = 128, 32
# Actions of a host that are kept for that.
RECENT_MAX = 4096

K = TypeVar("K")
NO_TARGET = Target()

Pair = tuple[str, str]  # (service, user)
Pairs = tuple[Pair, ...]


class Cause(IntEnum):
    """How a chain rests on what was seen; the higher the weaker."""

    NONE = 0  # nobody above: the chain starts here
    EXPLICIT = 1  # keys decide
    CORRELATED = 2
    AMBIGUOUS = 3
    UNSEEN = 4  # a service's call whose cause was not seen; written as "none"


class Link(NamedTuple):
    parent: int  # its sequence number
    weight: float  # probability that it is the parent


class Fact(NamedTuple):
    """One piece of evidence, as records.Evidence writes it."""

    key: str
    value: str
    grade: str


class Verdict(NamedTuple):
    cause: Cause
    links: tuple[Link, ...] = ()  # best first
    facts: tuple[Fact, ...] = ()
    sure: bool = False  # nothing that may still come would change it
    conflict: bool = False  # hard keys contradict each other
    rivals: tuple[int, ...] = ()  # parents with the same key that were ruled out by other means
    shared_most: float = 1.0  # of a path, if parents or rivals lead to different heads


class Path(NamedTuple):
    """One way that the chain may have come, with its probability."""

    pairs: Pairs
    weight: float
    cause: Cause
    head: int  # sequence number of the first action, 0: not seen
    parent: int  # sequence number of the action one level up; 0: none
    parent_id: str  # its record, or that of the login that began an impersonation


class Given(NamedTuple):
    """The ways down to whoever an action inherits from, when no action in reach is that one."""

    paths: tuple[Path, ...]
    facts: tuple[Fact, ...]


class Aside(NamedTuple):
    """What an action also was: a login or a logout inside the guest, with a record of its own."""

    message: GuestLogin | GuestLogout
    id: str  # of that record


class ProxyAccount(NamedTuple):
    """At the forward proxy that a request goes through."""

    user: str = ""
    login_id: str = ""  # record of the login there


NO_PROXY = ProxyAccount()


@dataclass(slots=True)
class Action:
    seq: int
    id: str  # of its record, and of its chain
    call: Call
    flow: Flow
    visibility: str
    client: str  # address of who asked, behind any proxy
    client_port: int
    server: str
    server_port: int
    verb: Verb
    session: int  # in Sessions; 0: none
    ids: tuple[str, ...] = ()  # under which it may be a parent
    asks: tuple[str, ...] = ()  # ids by which it may name its own
    is_heir: bool = False  # acts as whoever's action issued its ticket at this server
    facts: tuple[Fact, ...] = ()  # how the client is known, if not by its packets
    objects: tuple[str, ...] = ()  # ids of target and related objects, at the server
    names: tuple[str, ...] = ()  # names that the call gives
    outcome: Outcome = Outcome.UNKNOWN
    fault: str = ""
    target: Target = NO_TARGET
    final: bool = True  # the outcome will not change
    task_end_ns: int = 0  # when the task was first seen ended; 0: not
    result: Target = NO_TARGET
    hard: tuple[tuple[int, Fact], ...] = ()  # parents that a task or ticket refers to
    given: Given | None = None
    login: Login | None = None  # the action is a login, with what another's action got
    is_reuse: bool = False  # of a ticket that had been redeemed before
    is_service: bool = False  # its account acts for others, wherever the call comes from
    has_guest: bool = False  # it acts inside a VM, under an account of the guest
    guest: str = ""  # that account
    guest_fact: Fact | None = None  # how it is known
    asides: tuple[Aside, ...] = ()
    moved: tuple[int, int] | None = None  # bytes to the server and to the client, once it is over
    moved_ns: int = 0
    verdict: Verdict | None = None
    paths: tuple[Path, ...] = ()
    settled: bool = False  # verdict and all above it stand
    emitted: bool = False
    is_provisional: bool = False  # it was said before all was in that may bear on it
    legs_due: bool = False  # the other leg of a proxy is expected
    deadline_ns: int = 0
    children: dict[int, None] = field(default_factory=dict)  # in the order they were decided
    said: tuple[object, ...] = ()  # what the last record about it said
    amendments: int = 0
    conflict_said: bool = False
    tls: Tls | None = None  # of the flow that it was seen on
    proxy: ProxyAccount = NO_PROXY


class Actions:
    def __init__(self, actions_max: int, horizon_ns: int, task_horizon_ns: int) -> None:
        self._actions_max = actions_max
        self._horizon_ns = horizon_ns
        self._task_horizon_ns = task_horizon_ns
        self._actions: dict[int, Action] = {}
        self._age: deque[int] = deque()
        self._long: deque[int] = deque()  # past the horizon, task still open
        self._by_id: dict[str, list[int]] = {}
        self._by_object: dict[tuple[str, str], list[int]] = {}
        self._by_name: dict[tuple[str, str], list[int]] = {}
        self._by_task: dict[tuple[str, str], int] = {}  # server, task
        self._by_client_task: dict[tuple[str, str], list[int]] = {}  # of several servers
        self._recent: dict[str, list[int]] = {}
        self._last = 0
        self.shed = 0

    def __len__(self) -> int:
        return len(self._actions)

    @property
    def is_full(self) -> bool:
        return len(self._actions) > self._actions_max

    def next_seq(self) -> int:
        self._last += 1
        return self._last

    def get(self, seq: int) -> Action | None:
        return self._actions.get(seq)

    def add(self, action: Action) -> None:
        seq = self._last = max(self._last, action.seq)
        self._actions[seq] = action
        self._age.append(seq)
        for key in action.ids:
            _append(self._by_id, key, seq)
        for identity in action.objects:
            _append(self._by_object, (action.server, identity), seq)
        for name in action.names:
            _append(self._by_name, (action.server, name), seq)
        if action.call.task:
            task = object_id(action.call.task)
            self._by_task[action.server, task] = seq
            _append(self._by_client_task, (action.client, task), seq)
        recent = self._recent.setdefault(action.server, [])
        recent.append(seq)
        if len(recent) > RECENT_MAX * 2:
            del recent[:-RECENT_MAX]

    def add_object(self, action: Action, identity: str) -> None:
        """What the action's task made can be asked for from now on."""
        if identity and identity not in action.objects:
            action.objects += (identity,)
            _append(self._by_object, (action.server, identity), action.seq)

    def add_id(self, action: Action, identity: str) -> None:
        """Another id that the action is known under: an activation id."""
        if identity not in action.ids:
            action.ids += (identity,)
            _append(self._by_id, identity, action.seq)

    def has_id(self, identity: str) -> bool:
        return identity in self._by_id

    def with_id(self, identity: str) -> Iterator[Action]:
        return self._each(self._by_id.get(identity, ()))

    def is_crowded(self, identity: str) -> bool:
        """Has the id more actions than are kept under it?"""
        return len(self._by_id.get(identity, ())) >= NAMESAKES_MAX

    def on_object(self, server: str, identity: str) -> Iterator[Action]:
        return self._each(self._by_object.get((server, identity), ()))

    def naming(self, server: str, name: str) -> Iterator[Action]:
        return self._each(self._by_name.get((server, name), ()))

    def around(self, server: str, seq: int) -> Iterator[Action]:
        """Actions at a server that ended about when this one did."""
        recent = self._recent.get(server, [])
        at = bisect_left(recent, seq)
        return self._each(recent[max(0, at - RECENT_BEFORE) : at + RECENT_AFTER])

    def of_task(self, server: str, task: str) -> Action | None:
        return self._actions.get(self._by_task.get((server, object_id(task)), 0))

    def of_client_task(self, client: str, task: str) -> Iterator[Action]:
        """What this client started, wherever: a cloud names tasks, not which vCenter's they are."""
        return self._each(self._by_client_task.get((client, object_id(task)), ()))

    def age(self, now_ns: int) -> None:
        """Let go of what is past its horizon."""
        while self._age and self._is_past(self._age[0], now_ns - self._horizon_ns):
            action = self._actions.get(seq := self._age.popleft())
            if action is not None and not action.final:
                self._long.append(seq)
            else:
                self._forget(seq)
        while self._long and self._is_past(self._long[0], now_ns - self._task_horizon_ns):
            self._forget(self._long.popleft())

    def _is_past(self, seq: int, limit_ns: int) -> bool:
        action = self._actions.get(seq)
        return action is None or (action.emitted and action.call.end_ns < limit_ns)

    def _each(self, seqs: Iterable[int]) -> Iterator[Action]:
        for seq in seqs:
            action = self._actions.get(seq)
            if action is not None:
                yield action

    def shed_one(self) -> bool:
        """The oldest leaves early; False if the oldest are still to be recorded."""
        for queue in (self._long, self._age):
            if queue:
                action = self._actions.get(queue[0])
                if action is None or action.emitted:
                    self._forget(queue.popleft())
                    self.shed += 1
                    return True
        return False

    def move_client(self, action: Action, client: str, port: int) -> None:
        """The action was asked by another address than it seemed: behind a proxy."""
        task = object_id(action.call.task)
        if task:
            _remove(self._by_client_task, (action.client, task), action.seq)
            _append(self._by_client_task, (client, task), action.seq)
        action.client, action.client_port = client, port

    def _forget(self, seq: int) -> None:
        action = self._actions.pop(seq, None)
        if action is None:
            return
        for key in action.ids:
            _remove(self._by_id, key, seq)
        for identity in action.objects:
            _remove(self._by_object, (action.server, identity), seq)
        for name in action.names:
            _remove(self._by_name, (action.server, name), seq)
        task = object_id(action.call.task)
        if self._by_task.get((action.server, task)) == seq:
            del self._by_task[action.server, task]
        _remove(self._by_client_task, (action.client, task), seq)
        for link in action.verdict.links if action.verdict is not None else ():
            parent = self._actions.get(link.parent)
            if parent is not None:
                parent.children.pop(seq, None)
        recent = self._recent.get(action.server)
        if recent and recent[-1] <= seq:  # the newest of this server goes: nothing is left
            del self._recent[action.server]


def _append(index: dict[K, list[int]], key: K, seq: int) -> None:
    seqs = index.get(key)
    if seqs is None:
        index[key] = [seq]
        return
    seqs.append(seq)
    if len(seqs) > NAMESAKES_MAX:
        del seqs[0]


def _remove(index: dict[K, list[int]], key: K, seq: int) -> None:
    seqs = index.get(key)
    if seqs is not None:
        if seq in seqs:
            seqs.remove(seq)
        if not seqs:
            del index[key]
