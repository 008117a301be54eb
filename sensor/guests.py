"""Sessions inside guests: which account a client acts under in a VM, and what stands for it.

One per client, VM and account, from its login to its logout, or until it is idle. A guest ticket
stands for the account at whichever server it is shown.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from decoders.message import GuestLogin, GuestLogout, Target
from sensor.records import Record

GUESTS_MAX = 8192  # 3 kB of record each
TICKETS_MAX = 8  # of one session: a client holds one, or renews it

Place = tuple[str, str, str]  # client's session, server, VM


@dataclass(slots=True)
class GuestSession:
    place: Place
    user: str
    target: Target
    handle: str = ""
    tickets: list[str] = field(default_factory=list)
    last_ns: int = 0
    login: int = 0  # its action
    record: Record | None = None  # of its login

    @property
    def key(self) -> tuple[Place, str]:
        return (self.place, self.user)


class Guests:
    def __init__(self, guests_max: int = GUESTS_MAX, idle_timeout_ns: int = 1800 * 10**9) -> None:
        self._guests_max = guests_max
        self._idle_timeout_ns = idle_timeout_ns
        self._sessions: OrderedDict[tuple[Place, str], GuestSession] = OrderedDict()
        self._by_ticket: dict[str, GuestSession] = {}
        self._by_handle: dict[tuple[str, str], GuestSession] = {}
        self.shed = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def login(self, message: GuestLogin, server: str) -> GuestSession:
        """The session that a login which succeeded begins, or goes on with."""
        user = message.guest_user or self.user_of(message.ticket)
        place = (message.token, server, message.target.id or message.handle)
        session = self._sessions.get((place, user))
        if session is None:
            session = self._sessions[place, user] = GuestSession(place, user, message.target)
            if len(self._sessions) > self._guests_max:
                self._forget(next(iter(self._sessions.values())))
                self.shed += 1
        self._use(session, message.end_ns)
        if message.ticket and message.ticket not in session.tickets:
            session.tickets.append(message.ticket)
            self._by_ticket[message.ticket] = session
            if len(session.tickets) > TICKETS_MAX:
                self._by_ticket.pop(session.tickets.pop(0), None)
        if message.handle:
            session.handle = message.handle
            self._by_handle[message.token, message.handle] = session
        return session

    def told(self, message: GuestLogin, server: str, record: Record) -> None:
        """The last record about a login, which its logout is told from."""
        session = self._by_ticket.get(message.ticket) if message.ticket else None
        place = (message.token, server, message.target.id or message.handle)
        session = session or self._sessions.get((place, message.guest_user))
        if session is not None:
            session.record = record

    def user_of(self, ticket: str) -> str:
        """The account that a guest ticket stands for; "" if its issue was not seen."""
        session = self._by_ticket.get(ticket) if ticket else None
        return session.user if session is not None else ""

    def used(self, ticket: str, time_ns: int) -> None:
        session = self._by_ticket.get(ticket)
        if session is not None:
            self._use(session, time_ns)

    def logout(self, message: GuestLogout, server: str) -> GuestSession | None:
        """The session that is over; None when none is known."""
        session = self._by_ticket.get(message.ticket) if message.ticket else None
        if session is None and message.handle:
            session = self._by_handle.get((message.token, message.handle))
        if session is None:
            place = (message.token, server, message.target.id or message.handle)
            session = self._sessions.get((place, message.guest_user))
        if session is not None:
            self._forget(session)
        return session

    def age(self, now_ns: int) -> None:
        """What was not used for long is over."""
        while self._sessions:
            oldest = next(iter(self._sessions.values()))
            if oldest.last_ns >= now_ns - self._idle_timeout_ns:
                break
            self._forget(oldest)

    def _use(self, session: GuestSession, time_ns: int) -> None:
        session.last_ns = max(session.last_ns, time_ns)
        self._sessions.move_to_end(session.key)

    def _forget(self, session: GuestSession) -> None:
        self._sessions.pop(session.key, None)
        for ticket in session.tickets:
            if self._by_ticket.get(ticket) is session:
                del self._by_ticket[ticket]
        handle = (session.place[0], session.handle)
        if self._by_handle.get(handle) is session:
            del self._by_handle[handle]
