"""Tickets: what an action was given at one server leads to what is done with it at another.

A ticket carries no account, so who redeems it acts for whoever asked for it. That follows the
ticket, and a session got by a ticket for as long as it lasts, longer than actions are kept.
"""

from collections import OrderedDict
from dataclasses import dataclass

from decoders.message import OperationClass, TicketIssued
from sensor.correlate.actions import Action, Cause, Fact, Given, Path
from sensor.correlate.chains import UNSEEN_PAIR
from sensor.correlate.correlator import Correlator
from sensor.correlate.judge import BY_TASK
from sensor.services import Services
from sensor.sessions import Session, Sessions, Ticket

# Redeemed before their issue was seen: an answer that had to wait for its key.
WAITING_TICKETS_MAX = 4096
WAITING_ACTIONS_MAX = 64  # of one such ticket
LEASE = "HttpNfcLease"
LEASES_MAX = 4096  # open ones; vCenter allows some hundred

NOBODY = Path((), 1.0, Cause.UNSEEN, 0, 0, "")


@dataclass(slots=True)
class Inherited:
    """What a session that was got by a ticket has of it."""

    name: str
    ticket: Ticket | None  # None: its issue was not seen
    paths: tuple[Path, ...] = ()  # down to who asked for it, as last seen


class Lineage:
    def __init__(
        self, sessions: Sessions, services: Services, correlator: Correlator, sessions_max: int
    ) -> None:
        self._sessions = sessions
        self._services = services
        self._correlator = correlator
        self._sessions_max = sessions_max
        self._by_session: OrderedDict[int, Inherited] = OrderedDict()
        self._leases: OrderedDict[tuple[str, str], int] = OrderedDict()  # (server, lease)
        self._waiting: OrderedDict[str, list[int]] = OrderedDict()  # ticket -> actions
        self.shed = 0

    def issued(self, message: TicketIssued, action: int, server: str) -> None:
        """`action` is the one whose answer has the ticket; 0 if none is known."""
        self._sessions.issue(message, action, server)
        issuer = self._correlator.actions.get(action)
        for seq in self._waiting.pop(message.ticket, ()) if issuer is not None else ():
            heir = self._correlator.actions.get(seq)
            if heir is not None and issuer is not None:
                heir.is_heir = server == heir.server
                self._correlator.refer(heir, issuer, _proved(message.ticket))

    def lease(self, action: Action) -> None:
        """An export's or import's answer names a lease; its tickets are read from that."""
        for target in action.call.related:
            if target.type == LEASE and target.id:
                self._leases[action.server, target.id] = action.seq
                if len(self._leases) > LEASES_MAX:
                    self._leases.popitem(last=False)
                    self.shed += 1

    def leased(self, server: str, lease: str) -> int:
        """The action that a lease was made by; 0 if it was not seen."""
        return self._leases.get((server, lease), 0)

    def redeem(self, action: Action, name: str) -> None:
        """The action shows a ticket."""
        self._inherit(action, Inherited(name, self._sessions.ticket(name)), not action.session)

    def begin(self, session: Session, name: str) -> None:
        """The session was got by a ticket."""
        self._by_session[session.id] = Inherited(name, self._sessions.ticket(name))
        if len(self._by_session) > self._sessions_max:
            self._by_session.popitem(last=False)
            self.shed += 1

    def use(self, action: Action) -> bool:
        """Is the action one of a session that was got by a ticket? Then it inherits from it."""
        inherited = self._by_session.get(action.session)
        if inherited is None:
            return False
        self._inherit(action, inherited, True)
        return True

    def lose(self, action: Action, *facts: Fact) -> None:
        """What the action's session rests on was not seen. A service's call may have a cause."""
        if self._services.is_service(action.client):
            action.facts += facts
        else:
            action.given = Given((NOBODY,), facts)

    def said(self, login: Action) -> None:
        """A login by ticket is decided: this is who it leads to when that action is forgotten."""
        inherited = self._by_session.get(login.session)
        if inherited is not None and inherited.ticket is not None:
            self._keep(inherited, self._correlator.actions.get(inherited.ticket.action))

    def _inherit(self, action: Action, inherited: Inherited, has_no_account: bool) -> None:
        name = inherited.name
        ticket = inherited.ticket = inherited.ticket or self._sessions.ticket(name)
        if ticket is None:
            self.lose(action, Fact("ticket", name, "claimed"))
            self._wait(name, action.seq)
            return
        issuer = self._correlator.actions.get(ticket.action)
        action.is_heir = ticket.server in ("", action.server) and has_no_account
        if issuer is None:
            action.given = Given(inherited.paths or self._of_lender(ticket), (_proved(name),))
            return
        self._keep(inherited, issuer)
        action.hard = ((issuer.seq, _proved(name)),)
        if issuer.has_guest and action.call.operation_class is OperationClass.GUEST:
            action.has_guest, action.guest = True, issuer.guest

    def _keep(self, inherited: Inherited, issuer: Action | None) -> None:
        if issuer is not None and issuer.settled:
            inherited.paths = tuple(
                path._replace(
                    weight=path.weight * BY_TASK,
                    cause=max(path.cause, Cause.EXPLICIT),
                    parent=issuer.seq,
                    parent_id=issuer.id,
                )
                for path in issuer.paths
            )

    def _of_lender(self, ticket: Ticket) -> tuple[Path, ...]:
        """By the session that asked, when the action is not known by which it did."""
        session = self._sessions.get(ticket.session)
        service = self._services.of_server(ticket.server, 0)
        if session is None or not session.user:
            return (Path(((service, ""),), 1.0, Cause.UNSEEN, 0, 0, ""),)
        actors = tuple((service, user) for user, _ in session.actors)
        pairs = (*actors, (service, session.user))
        if self._services.is_service(session.client_ip):  # it asked because somebody asked it
            return (Path((UNSEEN_PAIR, *pairs), 1.0, Cause.UNSEEN, 0, 0, ""),)
        return (Path(pairs, BY_TASK, Cause.EXPLICIT, 0, 0, session.login_id),)

    def _wait(self, name: str, seq: int) -> None:
        waiting = self._waiting.setdefault(name, [])
        waiting.append(seq)
        del waiting[:-WAITING_ACTIONS_MAX]
        if len(self._waiting) > WAITING_TICKETS_MAX:
            self._waiting.popitem(last=False)
            self.shed += 1


def _proved(name: str) -> Fact:
    return Fact("ticket", name, "proved")
