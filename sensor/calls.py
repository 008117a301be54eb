"""Actions, from the call to the record: what a call acts under, what led to it, how it ended.

A login by a ticket is one too, since another's action led to it. So are the login and the logout
inside a guest that a call may be.
"""

from collections import OrderedDict
from dataclasses import replace

from decoders.message import (
    Call,
    GuestLogin,
    GuestLogout,
    Login,
    Moved,
    OperationClass,
    Outcome,
    TaskChanged,
    TicketIssued,
)
from sensor.accounts import Accounts
from sensor.alerts.rules import Alerts, Shown
from sensor.correlate.actions import Action, Aside, Fact
from sensor.correlate.correlator import Correlator
from sensor.correlate.gauges import gauges
from sensor.correlate.inventory import Inventory
from sensor.correlate.learning import learn_from_call
from sensor.correlate.limits import Limits
from sensor.correlate.relations import names_of, objects_of
from sensor.correlate.verbs import verb_of
from sensor.flows import Flow
from sensor.guests import Guests
from sensor.legs import Legs
from sensor.lineage import Lineage
from sensor.opened import Opened
from sensor.recording import Recorder, Sighting
from sensor.records import Record
from sensor.services import HOST_APIS, Services
from sensor.sessions import Session, Sessions

UNNAMED_MAX = 256  # actions of an unknown session that are amended once it is named
UNNAMED_SESSIONS_MAX = 4096  # such sessions; most are named by their next use, or never


class Calls:
    def __init__(
        self,
        recorder: Recorder,
        sessions: Sessions,
        services: Services,
        inventory: Inventory,
        legs: Legs,
        alerts: Alerts,
        limits: Limits,
        bounds: tuple[int, int],
    ) -> None:
        """`bounds`: most sessions, and ns after which one that is not used is over."""
        self._recorder = recorder
        self._sessions = sessions
        self._services = services
        self._inventory = inventory
        self._legs = legs
        self._alerts = alerts
        self.correlator = Correlator(limits, services, inventory, recorder.own_pairs)
        self._lineage = Lineage(sessions, services, self.correlator, bounds[0])
        self._guests = Guests(idle_timeout_ns=bounds[1])
        self._opened = Opened()
        self.accounts = Accounts()
        self._unnamed: OrderedDict[int, list[int]] = OrderedDict()  # session -> its actions
        self._unnamed_shed = self._unnamed_actions_shed = 0
        self._last_call: tuple[Flow | None, int, int] = (None, 0, 0)  # flow, time, its action

    def call(self, call: Call, at: Sighting) -> list[Record]:
        flow = at.flow
        inner = self._legs.inner(flow, call)
        if inner is not None:
            if isinstance(inner.subject, int):
                self._last_call = (flow, call.time_ns, inner.subject)
                self._pass(inner.subject, at)
            return []
        self._services.observe(call, flow.server_ip, flow.server_port, at.client_ip)
        session = self._sessions.of_token(call.token, call.end_ns, at.client_ip)
        if session is not None and call.outcome is Outcome.SUCCESS:
            self._sessions.taken(session)
        action = self._action(call, at, session)
        self._legs.keep(flow, call, action.seq)
        learn_from_call(self._inventory, action)
        self._last_call = (flow, call.time_ns, action.seq)
        if session is not None and not session.user and not call.user:
            self._keep_unnamed(session.id, action.seq)
        self._act_in_guest(action)
        self._trace(action, session)
        self._lineage.lease(action)
        self._opened.add(call, action.seq)
        self.correlator.add(action)
        return []

    def login(self, message: Login, at: Sighting) -> list[Record]:
        """A login by a ticket: whoever got the ticket is one level up."""
        self._services.observe(message, at.flow.server_ip, at.flow.server_port, at.client_ip)
        is_reuse = self._sessions.redeemed(message.ticket) > 0
        session = self._sessions.login(message, at.flow.server_ip, at.client_ip)
        action = self._action(_as_call(message), at, session)
        action.login, action.is_reuse = message, is_reuse
        if session is None:
            self._lineage.redeem(action, message.ticket)
        else:
            session.login_id = action.id
            self._lineage.begin(session, message.ticket)
            self._lineage.use(action)
        self.correlator.add(action)
        return []

    def guest_login(self, message: GuestLogin, at: Sighting) -> list[Record]:
        action = self._beside(message, at)
        if action is None:
            self.call(_as_guest_call(message), at)
            action = self._beside(message, at)
        if action is None or _was_said(action, message):
            return []
        action.has_guest = True
        aside = Aside(message, self._recorder.new_id(message.time_ns))
        if message.outcome is Outcome.SUCCESS:
            self._guests.login(message, at.flow.server_ip).login = action.seq
        return self._step_aside(action, aside)

    def guest_logout(self, message: GuestLogout, at: Sighting) -> list[Record]:
        session = self._guests.logout(message, at.flow.server_ip)
        action = self._beside(message, at)
        if action is not None and _was_said(action, message):
            return []
        if action is None and session is not None and session.record is None:
            action = self.correlator.actions.get(session.login)  # its login is not said yet
        if action is None and (session is None or session.record is None):
            return []  # nothing is known of what ended
        aside = Aside(message, self._recorder.new_id(message.time_ns))
        if action is not None:
            if session is not None and not action.guest:
                action.guest = session.user
            return self._step_aside(action, aside)
        assert session is not None and session.record is not None
        return [self._recorder.guest(aside, _unamended(session.record), session.user)]

    def moved(self, message: Moved, at: Sighting) -> list[Record]:
        """What a call had opened is closed."""
        del at
        opened = self._opened.closed(message)
        if opened is None:
            return []
        moved = (message.to_server_bytes, message.to_client_bytes)
        action = self.correlator.actions.get(opened.seq)
        if action is not None:
            action.moved, action.moved_ns = moved, message.end_ns
            self.correlator.changed(action, "closed")
            return []
        if opened.record is None:
            return []
        return [self._recorder.closed(opened.record, moved, message.end_ns)]

    def ticket(self, message: TicketIssued, at: Sighting) -> list[Record]:
        flow, time_ns, seq = self._last_call
        issued_by = seq if (flow, time_ns) == (at.flow, message.time_ns) else 0
        if message.lease and not issued_by:
            issued_by = self._lineage.leased(at.flow.server_ip, message.lease)
        self._lineage.issued(message, issued_by, at.flow.server_ip)
        return []

    def task(self, message: TaskChanged, at: Sighting) -> list[Record]:
        server = at.flow.server_ip
        self._inventory.named(server, message.entity)
        action = self.correlator.task(server, message)
        if action is not None and message.user:
            session = self._sessions.get(action.session)
            if session is not None and self._sessions.name(session, message.user) is not None:
                self.name(session)
        return []

    def name(self, session: Session) -> None:
        """An unknown session has got its name: so have its actions."""
        for seq in self._unnamed.pop(session.id, ()):
            action = self.correlator.actions.get(seq)
            if action is not None:
                action.account = action.account or session.user
                self.correlator.changed(action, "identity learned")

    def age(self, now_ns: int) -> None:
        self._guests.age(now_ns)

    def said(self) -> list[Record]:
        records: list[Record] = []
        for action, reason in self.correlator.take():
            record = self._recorder.action(action, reason, self.correlator.actions)
            records.append(record)
            self.accounts.note(record)
            if action.outcome is Outcome.SUCCESS and not action.is_claimed:
                self._services.acted(action.client, action.server, action.account)
            self._opened.said(action.seq, record)
            if action.login is not None:
                self._lineage.said(action)
            session = self._sessions.get(action.session)
            shown = [] if reason else self._alerts.of_action(action, session, record)
            shown += self._alerts.of_verdict(action)
            shown += self._passed(action)
            records += [self._recorder.alert(why, record, value) for why, value in shown]
            for aside in action.asides:
                records += self._aside(action, aside, record)
        return records

    def gauges(self) -> dict[str, int]:
        return {
            **gauges(self.correlator),
            "unnamed_sessions_shed": self._unnamed_shed,
            "unnamed_actions_shed": self._unnamed_actions_shed,
            "ticket_sessions_shed": self._lineage.shed,
            "guest_sessions": len(self._guests),
            "guest_sessions_shed": self._guests.shed,
            "open_disks": len(self._opened),
            "open_disks_shed": self._opened.shed,
        }

    def _action(self, call: Call, at: Sighting, session: Session | None) -> Action:
        flow = at.flow
        has_task = bool(call.task) and call.operation != "CreateTask"  # done by another later
        ends_later = has_task and call.outcome is Outcome.SUCCESS
        user = call.user or (session.user if session is not None else "")
        ids = _distinct(call.request_id, call.operation_id)
        asks = _distinct(call.operation_id, call.activation_id)
        return Action(
            seq=self.correlator.actions.next_seq(),
            id=self._recorder.new_id(call.time_ns),
            call=call,
            flow=flow,
            visibility=at.visibility,
            tls=at.tls,
            client=at.client_ip,
            client_port=at.client_port,
            server=flow.server_ip,
            server_port=flow.server_port,
            verb=verb_of(call.operation, call.operation_class),
            session=session.id if session is not None else 0,
            account=user,
            ids=ids,
            asks=ids if asks == ids else asks,
            is_service=_is_extension(session)
            or self._services.is_service_account(user, at.client_ip),
            facts=at.facts,
            proxy=at.proxy,
            objects=objects_of(call.target, call.related),
            names=names_of(call.target, call.related),
            outcome=Outcome.UNKNOWN if ends_later else call.outcome,
            fault=call.fault,
            final=not ends_later,
            legs_due=not at.names_client and self._services.is_relay(flow.client_ip),
        )

    def _passed(self, action: Action) -> list[Shown]:
        """Alerts, where an id that a service made comes to a server from different sides."""
        passed = self.correlator.passed
        carried = passed.carried(action) if action.account else None
        if carried is None:
            return []
        others = passed.note(action, carried[0])
        return self._alerts.of_passed_id(action, *carried, others)

    def _act_in_guest(self, action: Action) -> None:
        """Under which account of the guest, and how that is known."""
        call = action.call
        if call.operation_class is not OperationClass.GUEST:
            return
        if call.guest_ticket:
            user = call.guest_user or self._guests.user_of(call.guest_ticket)
            self._guests.used(call.guest_ticket, call.end_ns)
            grade = "proved" if user else "claimed"
            action.has_guest, action.guest = True, user
            action.guest_fact = Fact("guest_ticket", call.guest_ticket, grade)
        elif call.guest_user:
            grade = "proved" if call.outcome is Outcome.SUCCESS else "claimed"
            action.has_guest, action.guest = True, call.guest_user
            action.guest_fact = Fact("guest_account", call.guest_user, grade)
        elif any(name == "credential" for name, _ in call.details):
            action.has_guest = True  # as somebody whom the credential does not name

    def _trace(self, action: Action, session: Session | None) -> None:
        """To another's action, where the call or its session came from one by a ticket."""
        if self._lineage.use(action):
            return
        if action.call.ticket:
            self._redeem(action)
        elif action.call.api in HOST_APIS and session is not None and not session.login_id:
            self._lineage.lose(action)

    def _redeem(self, action: Action) -> None:
        call = action.call
        self._lineage.redeem(action, call.ticket)
        if call.operation_class is OperationClass.CONSOLE:  # a console's ticket is for one use
            action.is_reuse = self._sessions.redeemed(call.ticket) > 0
            self._sessions.redeem(call.ticket)

    def _beside(self, message: GuestLogin | GuestLogout, at: Sighting) -> Action | None:
        """The action of the same transaction."""
        flow, time_ns, seq = self._last_call
        if (flow, time_ns) != (at.flow, message.time_ns):
            return None
        return self.correlator.actions.get(seq)

    def _step_aside(self, action: Action, aside: Aside) -> list[Record]:
        """Said with the action's record; at once if that was said before."""
        action.asides += (aside,)
        if not action.emitted:
            return []
        record = self._recorder.action(action, "", self.correlator.actions)
        return self._aside(action, aside, record)

    def _aside(self, action: Action, aside: Aside, record: Record) -> list[Record]:
        told = self._recorder.guest(aside, record, action.guest)
        message = aside.message
        if not isinstance(message, GuestLogin):
            return [told]
        self._guests.told(message, action.server, told)
        shown = [] if told.amends else self._alerts.of_guest_login(message, told)
        return [told, *(self._recorder.alert(why, told, value) for why, value in shown)]

    def _keep_unnamed(self, session: int, seq: int) -> None:
        unnamed = self._unnamed.setdefault(session, [])
        unnamed.append(seq)
        self._unnamed_actions_shed += len(unnamed) > UNNAMED_MAX
        del unnamed[:-UNNAMED_MAX]
        if len(self._unnamed) > UNNAMED_SESSIONS_MAX:
            self._unnamed.popitem(last=False)
            self._unnamed_shed += 1

    def _pass(self, seq: int, at: Sighting) -> None:
        """An action was seen before, behind the proxy that this flow leads to."""
        self._services.proxy(at.flow.server_ip, legs=1)
        action = self.correlator.actions.get(seq)
        if action is not None:
            action.proxy = at.proxy if at.proxy.user else action.proxy
            self.correlator.other_leg(action, at.client_ip, at.client_port, at.passed_proxy)


def _distinct(one: str, other: str) -> tuple[str, ...]:
    if not one or one == other:
        return (other,) if other else ()
    return (one, other) if other else (one,)


def _is_extension(session: Session | None) -> bool:
    return session is not None and session.is_extension


def _as_call(login: Login) -> Call:
    return Call(
        time_ns=login.time_ns,
        end_ns=login.end_ns,
        token=login.token,
        user_agent=login.user_agent,
        forwarded_for=login.forwarded_for,
        operation_id=login.operation_id,
        api=login.api,
        operation=login.operation,
        operation_class=OperationClass.LOGIN,
        outcome=login.outcome,
        fault=login.fault,
        ticket=login.ticket,
    )


def _as_guest_call(login: GuestLogin) -> Call:
    """A login inside a guest that came without its call."""
    return Call(
        time_ns=login.time_ns,
        end_ns=login.end_ns,
        token=login.token,
        user_agent=login.user_agent,
        operation_id=login.operation_id,
        api=login.api,
        operation=login.operation,
        operation_class=OperationClass.GUEST,
        target=login.target,
        outcome=login.outcome,
        fault=login.fault,
        guest_user=login.guest_user,
        guest_interactive=login.interactive,
        guest_ticket=login.ticket,
    )


def _was_said(action: Action, message: GuestLogin | GuestLogout) -> bool:
    """On the other leg of a proxy."""
    return any(
        (type(each.message), each.message.operation) == (type(message), message.operation)
        for each in action.asides
    )


def _unamended(record: Record) -> Record:
    return replace(record, amends="", reason="")
