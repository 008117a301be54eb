"""Tokens and cookies -> sessions -> identities.

Identity binds at the response of a login and follows the token, not the connection: connections
share tokens, and a pooled connection carries many. A token is a keyed hash and stands for the same
session wherever it is seen, so both legs of a proxy lead to one session. Everything kept is plain
data: see dump and load.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from decoders.message import Login, LoginMethod, Logout, Outcome, SessionSeen, TicketIssued

TOKENS_MAX = 16  # per session: a login sets one or two, a cloud's token exchange adds one
DERIVATIONS_MAX = 8  # ImpersonateUser out of ImpersonateUser is legal; deeper is noise


class End(StrEnum):
    LOGOUT = "logout"
    TERMINATED = "terminated"  # by its key, from another session
    EXPIRED = "expired"  # the server no longer takes the token
    IDLE = "idle"  # not used for long, as far as was seen: polls are not, so use brings it back


@dataclass(slots=True)
class Session:
    """One client identity at one service. An unknown one has no user yet."""

    id: int
    user: str = ""
    full_name: str = ""
    method: str = ""
    key: str = ""  # hash of UserSession.key, which is not the cookie (PROTOCOLS section 6.4)
    tokens: list[str] = field(default_factory=list)
    server_ip: str = ""
    client_ip: str = ""  # who used it first
    derived_from: int = 0  # session that it was cloned or impersonated from
    actors: list[tuple[str, str]] = field(default_factory=list)  # (user, login id) impersonating
    delegation: list[str] = field(default_factory=list)  # subject of a SAML token, its delegates
    login_id: str = ""  # record of the login
    begun_ns: int = 0
    last_ns: int = 0
    ended_ns: int = 0
    end: str = ""
    is_extension: bool = False  # of a service that registered with vCenter
    alerts: list[str] = field(default_factory=list)  # reasons already given, each once

    @property
    def name(self) -> str:
        """What records call it: the session key's hash, else the first token's."""
        return self.key or (self.tokens[0] if self.tokens else "")


@dataclass(slots=True)
class Ticket:
    session: int  # who asked for it
    kind: str
    redeemed: int = 0
    action: int = 0  # by which it was asked for, in the correlator; 0: not known
    server: str = ""  # that handed it out


class Sessions:
    def __init__(
        self,
        sessions_max: int = 100_000,
        tickets_max: int = 10_000,
        idle_timeout_ns: int = 30 * 60 * 10**9,  # vCenter's default
    ) -> None:
        self._sessions_max = sessions_max
        self._tickets_max = tickets_max
        self._idle_timeout_ns = idle_timeout_ns
        self._sessions: dict[int, Session] = {}
        self._active: OrderedDict[int, None] = OrderedDict()  # least recently used first
        self._quiet: OrderedDict[int, None] = OrderedDict()  # ended or idle; these leave first
        self._by_token: dict[str, int] = {}
        self._by_key: dict[str, int] = {}
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._last_id = 0
        self.shed = 0
        self.tickets_shed = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, identity: int) -> Session | None:
        return self._sessions.get(identity)

    def of_token(self, token: str, time_ns: int, client_ip: str = "") -> Session | None:
        """The session of a request with this token; an unknown one if its login was not seen."""
        if not token:
            return None
        session = self._sessions.get(self._by_token.get(token, 0))
        if session is None:
            session = self._new(time_ns)
            self._bind(session, token)
        if session.id in self._active:
            self._active.move_to_end(session.id)
        elif session.end == End.IDLE:
            self._revive(session)
        if time_ns > session.last_ns:
            session.last_ns = time_ns
        if not session.client_ip:
            session.client_ip = client_ip
        return session

    def login(self, message: Login, server_ip: str, client_ip: str) -> Session | None:
        """Who the client is from now on; None when it was refused: then nothing changes.

        A login on a cookie that has an identity already makes another session of it, so that what
        was done before keeps its user.
        """
        if message.outcome is not Outcome.SUCCESS:
            return None
        before = self._sessions.get(self._by_token.get(message.token, 0))
        origin = before if message.method is LoginMethod.IMPERSONATION else None
        # A token that buys another one, which may name nobody, is of the same account.
        lender = before if message.method is LoginMethod.TOKEN else None
        ticket = self.redeem(message.ticket)
        if ticket is not None and not _crosses(message, ticket, server_ip):
            origin = self._sessions.get(ticket.session)
        session = self._used_already(message) or self._new(message.end_ns)
        known = origin or lender
        session.user = message.user or message.claimed or (known.user if known else "")
        session.full_name = message.full_name
        session.method = message.method.value
        session.is_extension = message.extension
        session.server_ip, session.client_ip = server_ip, client_ip
        session.delegation = [message.user, *message.delegates] if message.delegates else []
        self._set_key(session, message.session)
        if origin is not None:
            self._derive(session, origin, message.method)
        for token in message.new_tokens or (message.token,):
            if token not in session.tokens:
                self._bind(session, token)
        return session

    def _used_already(self, message: Login) -> Session | None:
        """The session of a new token whose first use overtook the login."""
        for token in message.new_tokens:
            session = self._sessions.get(self._by_token.get(token, 0))
            if session is not None and not session.user and session.begun_ns >= message.end_ns:
                return session
        return None

    def redeemed(self, ticket: str) -> int:
        """How often a ticket we saw issued was redeemed already."""
        known = self._tickets.get(ticket)
        return known.redeemed if known is not None else 0

    def lender(self, ticket: str) -> Session | None:
        """The session that asked for this ticket."""
        known = self._tickets.get(ticket)
        return self._sessions.get(known.session) if known is not None else None

    def ticket(self, name: str) -> Ticket | None:
        return self._tickets.get(name)

    def issue(self, message: TicketIssued, action: int = 0, server: str = "") -> None:
        """A ticket handed on is issued again: what counts is who got it last."""
        session = self.of_token(message.token, message.end_ns)
        asker = session.id if session is not None else 0
        known = self._tickets.get(message.ticket)
        if known is not None and not action and known.session == asker:
            return  # read again
        self._tickets[message.ticket] = Ticket(asker, message.kind, action=action, server=server)
        self._tickets.move_to_end(message.ticket)
        if len(self._tickets) > self._tickets_max:
            self._tickets.popitem(last=False)
            self.tickets_shed += 1

    def logout(self, message: Logout) -> list[Session]:
        """The sessions that this ended."""
        if message.outcome is not Outcome.SUCCESS:
            return []
        if message.sessions:
            found = [self._sessions.get(self._by_key.get(key, 0)) for key in message.sessions]
            end = End.TERMINATED
        else:
            found = [self._sessions.get(self._by_token.get(message.token, 0))]
            end = End.LOGOUT
        ended = [session for session in found if session is not None]
        for session in ended:
            self._end(session, message.end_ns, end)
        return ended

    def expire(self, token: str, time_ns: int) -> None:
        session = self._sessions.get(self._by_token.get(token, 0))
        if session is not None and not session.ended_ns:
            self._end(session, time_ns, End.EXPIRED)

    def seen(self, message: SessionSeen) -> Session | None:
        """Binds what was tied together; the session, if this gave it its name."""
        by_key = self._sessions.get(self._by_key.get(message.session, 0))
        if by_key is not None and message.token and message.token not in self._by_token:
            self._bind(by_key, message.token)
        session = self.of_token(message.token, message.end_ns) or by_key
        if session is None:
            if not (message.session and message.user):
                return None
            session = self._new(message.end_ns)
        if message.session and not session.key:
            self._set_key(session, message.session)
        if not session.user and by_key is not None and by_key is not session:
            session.login_id, session.actors = by_key.login_id, list(by_key.actors)
            session.delegation = list(by_key.delegation)
            return self.name(session, by_key.user or message.user, message.full_name)
        return self.name(session, message.user, message.full_name)

    def name(self, session: Session, user: str, full_name: str = "") -> Session | None:
        """Give an unknown session its user; None if it had one, or gets none."""
        if session.user or not user:
            return None
        session.user, session.full_name = user, full_name
        return session

    def taken(self, session: Session) -> None:
        """The server took its token: an expiry was not its end."""
        if session.end == End.EXPIRED:
            self._revive(session)

    def age(self, now_ns: int) -> None:
        """Sessions not used within the idle time-out are over, until used again."""
        since = now_ns - self._idle_timeout_ns
        while self._active:
            session = self._sessions[next(iter(self._active))]
            if session.last_ns >= since:
                return
            self._end(session, session.last_ns + self._idle_timeout_ns, End.IDLE)

    @property
    def active(self) -> int:
        return len(self._active)

    def dump(self) -> dict[str, Any]:
        """Everything as plain data, for a store to keep."""
        return {
            "sessions": [asdict(session) for session in self._sessions.values()],
            "tickets": {name: asdict(ticket) for name, ticket in self._tickets.items()},
        }

    def load(self, plain: dict[str, Any]) -> None:
        """Take over what dump gave; into empty tables."""
        for row in plain["sessions"]:
            session = Session(**{**row, "actors": [tuple(each) for each in row["actors"]]})
            self._sessions[session.id] = session
            self._last_id = max(self._last_id, session.id)
            (self._quiet if session.ended_ns else self._active)[session.id] = None
            self._by_token.update(dict.fromkeys(session.tokens, session.id))
            if session.key:
                self._by_key[session.key] = session.id
        for name, row in plain["tickets"].items():
            self._tickets[name] = Ticket(**{**row, "action": 0})

    def _new(self, time_ns: int) -> Session:
        self._last_id += 1
        session = Session(self._last_id, begun_ns=time_ns, last_ns=time_ns)
        self._sessions[session.id] = session
        self._active[session.id] = None
        if len(self._sessions) > self._sessions_max:
            self._forget(next(iter(self._quiet or self._active)))
            self.shed += 1
        return session

    def _end(self, session: Session, time_ns: int, end: End) -> None:
        session.ended_ns, session.end = time_ns, end.value
        self._active.pop(session.id, None)
        self._quiet[session.id] = None

    def _revive(self, session: Session) -> None:
        session.ended_ns, session.end = 0, ""
        self._quiet.pop(session.id, None)
        self._active[session.id] = None

    def _bind(self, session: Session, token: str) -> None:
        if not token:
            return
        session.tokens.append(token)
        self._by_token[token] = session.id
        if len(session.tokens) > TOKENS_MAX:
            self._unbind(session, session.tokens[:1])
            del session.tokens[0]

    def _set_key(self, session: Session, key: str) -> None:
        if key:
            session.key = key
            self._by_key[key] = session.id

    def _derive(self, session: Session, origin: Session, method: LoginMethod) -> None:
        session.derived_from = origin.id
        session.actors, session.delegation = list(origin.actors), list(origin.delegation)
        if method is LoginMethod.IMPERSONATION:
            session.actors.append((origin.user, origin.login_id))
            del session.actors[:-DERIVATIONS_MAX]

    def redeem(self, name: str) -> Ticket | None:
        """The ticket, now used once more."""
        ticket = self._tickets.get(name) if name else None
        if ticket is not None:
            ticket.redeemed += 1
        return ticket

    def _forget(self, identity: int) -> None:
        session = self._sessions.pop(identity)
        self._active.pop(identity, None)
        self._quiet.pop(identity, None)
        self._unbind(session, session.tokens)
        if self._by_key.get(session.key) == identity:
            del self._by_key[session.key]

    def _unbind(self, session: Session, tokens: Iterable[str]) -> None:
        for token in tokens:
            if self._by_token.get(token) == session.id:
                del self._by_token[token]


def _crosses(login: Login, ticket: Ticket, server_ip: str) -> bool:
    """Is the ticket for another server than gave it? Then no account comes with it."""
    return login.method is LoginMethod.TICKET and ticket.server not in ("", server_ip)
