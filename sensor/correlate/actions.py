"""Actions in flight and just past, and the key tables by which one finds the other.

Each action stands in every table under its keys; tables hold sequence numbers, so that all of it
is plain data. An action leaves when it is older than the horizon and its task has ended, or when
there are too many.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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

CLIENT_KEYS = ("forwarded_for", "proxy_header")  # evidence of who the client is

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
    alone: float = 0.0  # probability that nobody above asked, where a key says that somebody did


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
    account: str = ""  # that it acts under at the server; "": not known
    ids: tuple[str, ...] = ()  # under which it may be a parent
    asks: tuple[str, ...] = ()  # ids by which it may name its own
    is_heir: bool = False  # acts as whoever's action issued its ticket at this server
    facts: tuple[Fact, ...] = ()  # how the client is known, if not by its packets
    objects: tuple[str, ...] = ()  # ids of target and related objects, at the server
    names: tuple[str, ...] = ()  # names that the call gives
    outcome: Outcome = Outcome.UNKNOWN
    fault: str = ""
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
    is_final_due: bool = False  # and is still to be said again, for good
    legs_due: bool = False  # the other leg of a proxy is expected
    children: tuple[int, ...] = ()  # in the order they were decided; nearly all have one or none
    said: int = 0  # hash of what the last record about it said
    amendments: int = 0
    conflict_said: bool = False
    tls: Tls | None = None  # of the flow that it was seen on
    proxy: ProxyAccount = NO_PROXY

    @property
    def target(self) -> Target:
        return self.call.target

    @property
    def is_claimed(self) -> bool:
        """Is the client known by nothing but a header, which anybody could have written?"""
        return bool(self.facts) and is_claimed(self.facts)


def is_claimed(facts: Iterable[Fact]) -> bool:
    return any(fact.grade == "claimed" and fact.key in CLIENT_KEYS for fact in facts)


class Actions:
    def __init__(self, actions_max: int, horizon_ns: int, task_horizon_ns: int) -> None:
        self._actions_max = actions_max
        self._horizon_ns = horizon_ns
        self._task_horizon_ns = task_horizon_ns
        self._actions: dict[int, Action] = {}
        self.get = self._actions.get  # by seq; asked for some ten times per action
        self._age: deque[int] = deque()
        self._long: deque[int] = deque()  # past the horizon, task still open
        # Nearly every key has one action: a tuple is half the size of a list.
        self._by_id: dict[str, tuple[int, ...]] = {}
        self._by_object: dict[tuple[str, str], tuple[int, ...]] = {}
        self._by_name: dict[tuple[str, str], tuple[int, ...]] = {}
        self._by_task: dict[tuple[str, str], int] = {}  # server, task
        self._by_client_task: dict[tuple[str, str], tuple[int, ...]] = {}  # of several servers
        self._recent: dict[str, list[int]] = {}
        self._last = 0
        self.shed = 0
        self.namesakes_shed = 0

    def __len__(self) -> int:
        return len(self._actions)

    @property
    def is_full(self) -> bool:
        return len(self._actions) > self._actions_max

    def next_seq(self) -> int:
        self._last += 1
        return self._last

    def add(self, action: Action) -> None:
        seq = self._last = max(self._last, action.seq)
        self._actions[seq] = action
        self._age.append(seq)
        for key in action.ids:
            self._append(self._by_id, key, seq)
        for identity in action.objects:
            self._append(self._by_object, (action.server, identity), seq)
        for name in action.names:
            self._append(self._by_name, (action.server, name), seq)
        if action.call.task:
            task = object_id(action.call.task)
            self._by_task[action.server, task] = seq
            self._append(self._by_client_task, (action.client, task), seq)
        recent = self._recent.setdefault(action.server, [])
        recent.append(seq)
        if len(recent) > RECENT_MAX * 2:
            del recent[:-RECENT_MAX]

    def add_object(self, action: Action, identity: str) -> None:
        """What the action's task made can be asked for from now on."""
        if identity and identity not in action.objects:
            action.objects += (identity,)
            self._append(self._by_object, (action.server, identity), action.seq)

    def add_id(self, action: Action, identity: str) -> None:
        """Another id that the action is known under: an activation id."""
        if identity not in action.ids:
            action.ids += (identity,)
            self._append(self._by_id, identity, action.seq)

    def parents(self, verdict: Verdict | None) -> list[Action]:
        """Those that the verdict names, as far as they are still known."""
        links = verdict.links if verdict is not None else ()
        if len(links) == 1:
            parent = self.get(links[0].parent)
            return [parent] if parent is not None else []
        return self.known([link.parent for link in links]) if links else []

    def disown(self, action: Action) -> None:
        """Its parents have it no more."""
        for parent in self.parents(action.verdict):
            if action.seq in parent.children:
                at = parent.children.index(action.seq)
                parent.children = parent.children[:at] + parent.children[at + 1 :]

    def seqs_with_id(self, identity: str) -> tuple[int, ...]:
        """NAMESAKES_MAX of them: there are more."""
        return self._by_id.get(identity, ())

    def with_id(self, identity: str) -> Iterator[Action]:
        return iter(self.known(self._by_id.get(identity, ())))

    def on_object(self, server: str, identity: str) -> list[Action]:
        return self.known(self._by_object.get((server, identity), ()))

    def naming(self, server: str, name: str) -> list[Action]:
        return self.known(self._by_name.get((server, name), ()))

    def around(self, server: str, seq: int) -> list[Action]:
        """Actions at a server that ended about when this one did."""
        recent = self._recent.get(server, [])
        at = bisect_left(recent, seq)
        return self.known(recent[max(0, at - RECENT_BEFORE) : at + RECENT_AFTER])

    def of_task(self, server: str, task: str) -> Action | None:
        return self.get(self._by_task.get((server, object_id(task)), 0))

    def of_client_task(self, client: str, task: str) -> list[Action]:
        """What this client started, wherever: a cloud names tasks, not which vCenter's they are."""
        return self.known(self._by_client_task.get((client, object_id(task)), ()))

    def age(self, now_ns: int) -> None:
        """Let go of what is past its horizon."""
        while self._age and self._is_past(self._age[0], now_ns - self._horizon_ns):
            action = self.get(seq := self._age.popleft())
            if action is not None and not action.final:
                self._long.append(seq)
            else:
                self._forget(seq)
        while self._long and self._is_past(self._long[0], now_ns - self._task_horizon_ns):
            self._forget(self._long.popleft())

    def _is_past(self, seq: int, limit_ns: int) -> bool:
        action = self.get(seq)
        return action is None or (action.emitted and action.call.end_ns < limit_ns)

    def known(self, seqs: Sequence[int]) -> list[Action]:
        return [each for each in map(self.get, seqs) if each is not None]

    def shed_one(self) -> bool:
        """The oldest leaves early; False if the oldest are still to be recorded."""
        for queue in (self._long, self._age):
            if queue:
                action = self.get(queue[0])
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
            self._append(self._by_client_task, (client, task), action.seq)
        action.client, action.client_port = client, port

    def _append(self, index: dict[K, tuple[int, ...]], key: K, seq: int) -> None:
        seqs = index.get(key)
        if seqs is None:
            index[key] = (seq,)
        elif len(seqs) < NAMESAKES_MAX:
            index[key] = (*seqs, seq)
        else:
            index[key] = (*seqs[1:], seq)
            self.namesakes_shed += 1

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
        if action.call.task:
            task = object_id(action.call.task)
            if self._by_task.get((action.server, task)) == seq:
                del self._by_task[action.server, task]
            _remove(self._by_client_task, (action.client, task), seq)
        self.disown(action)
        recent = self._recent.get(action.server)
        if recent and recent[-1] <= seq:  # the newest of this server goes: nothing is left
            del self._recent[action.server]


def _remove(index: dict[K, tuple[int, ...]], key: K, seq: int) -> None:
    seqs = index.get(key, ())
    if seqs == (seq,):
        del index[key]
    elif seqs:
        index[key] = tuple(each for each in seqs if each != seq)
