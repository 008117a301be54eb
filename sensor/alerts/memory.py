"""What alerts remember: what was said already, who failed how often, who opens disks."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field

SAID_MAX = 65536
CLIENTS_MAX = 8192  # clients and services with refused logins
NAMES_MAX = 8  # accounts named in one alert

SECOND = 10**9
# A series that goes on is told of again after this.
AGAIN_NS = 3600 * SECOND


class Once:
    """What was said already; of more than can be kept the oldest may be said again."""

    def __init__(self, said_max: int = SAID_MAX) -> None:
        self._said_max = said_max
        self._said: OrderedDict[Hashable, None] = OrderedDict()
        self.shed = 0

    def __len__(self) -> int:
        return len(self._said)

    def first(self, key: Hashable) -> bool:
        if key in self._said:
            self._said.move_to_end(key)
            return False
        self._said[key] = None
        if len(self._said) > self._said_max:
            self._said.popitem(last=False)
            self.shed += 1
        return True


@dataclass(slots=True)
class _Series:
    failures: deque[tuple[int, str]] = field(default_factory=deque)  # time, account


class Guessing:
    """Refused logins of one client at one service, in a sliding window."""

    def __init__(self, failures: int, window_ns: int, clients_max: int = CLIENTS_MAX) -> None:
        self._failures = failures
        self._window_ns = window_ns
        self._clients_max = clients_max
        self._series: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self._told_ns: OrderedDict[str, int] = OrderedDict()  # client -> when
        self.shed = 0

    def failed(self, client: str, service: str, account: str, time_ns: int) -> str:
        """What to say of the series that this failure completes; "" if it does not."""
        series = self._series.setdefault((client, service), _Series())
        self._series.move_to_end((client, service))
        if len(self._series) > self._clients_max:
            self._series.popitem(last=False)
            self.shed += 1
        failures = series.failures
        failures.append((time_ns, account))
        while len(failures) > self._failures or failures[0][0] < time_ns - self._window_ns:
            failures.popleft()
        if len(failures) < self._failures or not self._is_news(client, time_ns):
            return ""
        names = sorted({name for _, name in failures if name})
        shown = ", ".join(names[:NAMES_MAX])
        took_s = (failures[-1][0] - failures[0][0]) / SECOND
        return f"{len(failures)} refused logins in {took_s:.1f} s: {shown}"

    def has_told(self, client: str, time_ns: int) -> bool:
        """Was this client told of as guessing, not long ago?"""
        told_ns = self._told_ns.get(client)
        return told_ns is not None and time_ns - told_ns < AGAIN_NS

    def _is_news(self, client: str, time_ns: int) -> bool:
        if self.has_told(client, time_ns):
            return False
        self._told_ns[client] = time_ns
        self._told_ns.move_to_end(client)
        if len(self._told_ns) > self._clients_max:
            self._told_ns.popitem(last=False)
            self.shed += 1
        return True


class DiskAccounts:
    """Who opens disks: those allowed, or those seen to while that is learned."""

    def __init__(self, allowed: tuple[str, ...], learning_ns: int) -> None:
        self._allowed = {name.casefold() for name in allowed}
        self._learning_ns = learning_ns
        self._seen = Once()
        self._first_ns = 0

    @property
    def shed(self) -> int:
        return self._seen.shed

    def begin(self, time_ns: int) -> None:
        """The first packet's time: from then on it is learned who opens disks."""
        self._first_ns = self._first_ns or time_ns

    def is_unusual(self, service: str, user: str, time_ns: int) -> bool:
        if self._allowed:
            unusual = user.casefold() not in self._allowed
            return unusual and self._seen.first((service, user))
        is_first = self._seen.first((service, user))
        return is_first and time_ns - self._first_ns >= self._learning_ns
