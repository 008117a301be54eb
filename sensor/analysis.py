"""From messages to records: sessions, services and correlation behind one door.

Messages come in order of their transactions' ends, nearly; time is packet time. The same messages
give the same records, ids aside.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from decoders.message import (
    Call,
    Login,
    Logout,
    Message,
    ObjectSeen,
    Outcome,
    ServerSeen,
    SessionExpired,
    SessionSeen,
    TaskChanged,
    TicketIssued,
)
from sensor import alerts
from sensor.correlate.actions import Action, Fact
from sensor.correlate.correlator import Correlator, Limits
from sensor.correlate.inventory import Inventory
from sensor.correlate.learning import learn_from_call
from sensor.correlate.relations import names_of, objects_of
from sensor.correlate.verbs import verb_of
from sensor.flows import Flow
from sensor.gaps import Gaps
from sensor.legs import Legs
from sensor.logins import Logins
from sensor.recording import NewId, Recorder, Sighting, leg_facts
from sensor.records import Record, SensorRef, Tls, new_id
from sensor.sealed import Sealed
from sensor.services import Services
from sensor.sessions import Session, Sessions
from sensor.tls import TlsSeen
from sensor.tls_legs import Legs as TlsSessionLegs
from sensor.tls_legs import TlsLegs

SECOND = 10**9
UNNAMED_MAX = 256  # actions of an unknown session that are amended once it is named
UNNAMED_SESSIONS_MAX = 4096  # such sessions; most are named by their next use, or never
CLAIMS_MAX = 65536  # flows with a PROXY header


@dataclass(frozen=True, slots=True)
class AnalysisLimits:
    """Bounds of the tables; what each sheds is counted in gauges."""

    sessions_max: int = 100_000
    tickets_max: int = 10_000
    objects_max: int = 100_000
    addresses_max: int = 65536
    idle_timeout_ns: int = 30 * 60 * 10**9  # vCenter's default
    correlate: Limits = Limits()  # noqa: RUF009 - frozen


class Analysis:
    """`services` (by address), `names` (of servers -> service) and `trusted_proxies` are what the
    site knows; the rest is learned.
    """

    def __init__(
        self,
        *,
        services: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        trusted_proxies: Iterable[str] = (),
        limits: AnalysisLimits = AnalysisLimits(),
        sensor: SensorRef = SensorRef(),  # noqa: B008 - frozen
        new_id: NewId = new_id,
    ) -> None:
        self.sessions = Sessions(limits.sessions_max, limits.tickets_max, limits.idle_timeout_ns)
        self.services = Services(services, trusted_proxies, limits.addresses_max)
        self.inventory = Inventory(limits.objects_max)
        self._recorder = Recorder(self.sessions, self.services, self.inventory, new_id, sensor)
        self._correlator = Correlator(
            limits.correlate, self.services, self.inventory, self._recorder.own_pairs
        )
        self._legs = Legs()
        self._logins = Logins(
            self._recorder, self.sessions, self.services, self._legs, limits.correlate.hold_ns
        )
        self._gaps = Gaps()
        self._tls_legs = TlsLegs()
        self._sealed = Sealed(self._recorder, self.services, self._tls_legs, names or {})
        self._claims: OrderedDict[Flow, tuple[str, int]] = OrderedDict()  # PROXY headers
        self._unnamed: OrderedDict[int, list[int]] = OrderedDict()  # session -> its actions
        self._claims_shed = 0
        self._unnamed_shed = 0
        self._last_call: tuple[Flow | None, int, int] = (None, 0, 0)  # flow, time, its action
        self._age_ns = 0  # when idle sessions are looked for next
        self._handlers: dict[type[Message], Callable[[Any, Sighting], list[Record]]] = {
            Call: self._call,
            Login: self._login,
            Logout: self._logins.logout,
            TaskChanged: self._task,
            ObjectSeen: self._object,
            SessionSeen: self._session,
            SessionExpired: self._expired,
            TicketIssued: self._ticket,
            ServerSeen: self._server,
        }

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        legs = self._tls_legs.of(flow) if visibility == "decrypted" else None
        if legs is not None and self._tls_legs.repeats(legs, flow, message):
            return []
        at = self._sighting(flow, message, legs)._replace(visibility=visibility, tls=tls)
        handler = self._handlers.get(type(message))
        records = handler(message, at) if handler is not None else []
        return records + self._said() if self._correlator.has_news else records

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        """Something of the flow's TLS is new."""
        legs = self._tls_legs.seen(flow, seen.identity)
        self._sealed.seen(flow, seen, time_ns)
        for relay in legs.relays if legs is not None else ():
            if not self.services.of_client(relay):  # a service may relay beside its own calls
                self.services.proxy(relay)

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        """Bytes of a flow were missed."""
        del direction  # both belong to one time of blindness
        return [self._recorder.gap(gap) for gap in self._gaps.add(flow, size_bytes, time_ns, tls)]

    def proxy_header(self, flow: Flow, client_ip: str, client_port: int, time_ns: int) -> None:
        """The flow comes from a proxy, which names its client."""
        del time_ns
        self.services.proxy(flow.client_ip)
        self._claims[flow] = (client_ip, client_port)
        if len(self._claims) > CLAIMS_MAX:
            self._claims.popitem(last=False)
            self._claims_shed += 1

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        del time_ns
        self._claims.pop(flow, None)
        records = [self._recorder.gap(gap) for gap in self._gaps.end(flow)]
        records += self._sealed.end(flow)
        self._tls_legs.end(flow)
        return records

    def advance(self, watermark_ns: int) -> list[Record]:
        """Packet time has come this far: what waited for it is decided."""
        self._correlator.advance(watermark_ns)
        if watermark_ns >= self._age_ns:
            self._age_ns = watermark_ns + SECOND
            self.sessions.age(watermark_ns)
        records = self._logins.due(watermark_ns)
        if len(self._gaps):
            records += [self._recorder.gap(gap) for gap in self._gaps.over(watermark_ns)]
        records += self._sealed.over(watermark_ns)
        if self._correlator.has_news:
            records += self._said()
        return records

    def finish(self) -> list[Record]:
        """Nothing more comes."""
        self._correlator.finish()
        records = self._logins.all()
        records += [self._recorder.gap(gap) for gap in self._gaps.all()]
        records += self._sealed.all()
        records += self._said()
        return records

    def sealed_flows(self) -> dict[str, int]:
        return {"recorded": self._sealed.recorded, "unrecorded": self._sealed.unrecorded}

    def gauges(self) -> dict[str, int]:
        correlator = self._correlator
        return {
            "sessions": len(self.sessions),
            "sessions_active": self.sessions.active,
            "sessions_shed": self.sessions.shed,
            "tickets_shed": self.sessions.tickets_shed,
            "addresses": len(self.services),
            "addresses_shed": self.services.shed,
            "objects": len(self.inventory),
            "objects_shed": self.inventory.shed,
            "actions": len(correlator.actions),
            "actions_pending": correlator.pending,
            "actions_shed": correlator.actions.shed,
            "amendments_shed": correlator.amendments_shed,
            "waiting_ids_shed": correlator.ids_shed,
            "task_references_shed": correlator.references_shed,
            "legs_shed": self._legs.shed,
            "tls_leg_messages_shed": self._tls_legs.shed,
            "proxy_headers_shed": self._claims_shed,
            "unnamed_sessions_shed": self._unnamed_shed,
        }

    def _sighting(self, flow: Flow, message: Message, legs: TlsSessionLegs | None) -> Sighting:
        """Who sent the message: the flow's client, or whom a proxy there names."""
        front, flow = (flow, flow) if legs is None else (legs.front, legs.back)
        ip, port = front.client_ip, front.client_port
        facts = leg_facts(legs)
        claim = self._claims.get(front) if self._claims else None
        if claim is not None:
            ip, port = claim
            facts += (Fact("proxy_header", front.client_ip, "claimed"),)
        elif message.forwarded_for:
            claimed = self.services.claimed_client(front.client_ip, message.forwarded_for)
            if claimed:
                ip, port = claimed, 0
                facts += (Fact("forwarded_for", front.client_ip, "claimed"),)
        self.services.client_since(ip, message.time_ns)
        return Sighting(flow, ip, port, facts=facts)

    def _call(self, call: Call, at: Sighting) -> list[Record]:
        flow = at.flow
        inner = self._legs.inner(flow, call)
        if inner is not None:
            if isinstance(inner.subject, int):
                self._pass(inner.subject, at)
            return []
        self.services.observe(call, flow.server_ip, flow.server_port, at.client_ip)
        session = self.sessions.of_token(call.token, call.end_ns, at.client_ip)
        if session is not None and call.outcome is Outcome.SUCCESS:
            self.sessions.taken(session)
        action = self._action(call, at, session)
        self._legs.keep(flow, call, action.seq)
        learn_from_call(self.inventory, action)
        self._last_call = (flow, call.time_ns, action.seq)
        if session is not None and not session.user and not call.user:
            self._keep_unnamed(session.id, action.seq)
        if call.ticket:
            self._inherit(action)
        self._correlator.add(action)
        return []

    def _keep_unnamed(self, session: int, seq: int) -> None:
        unnamed = self._unnamed.setdefault(session, [])
        unnamed.append(seq)
        del unnamed[:-UNNAMED_MAX]
        if len(self._unnamed) > UNNAMED_SESSIONS_MAX:
            self._unnamed.popitem(last=False)
            self._unnamed_shed += 1

    def _inherit(self, action: Action) -> None:
        """The ticket that a call redeems was asked for by another action: that caused it."""
        ticket = self.sessions.ticket(action.call.ticket)
        issuer = self._correlator.actions.get(ticket.action) if ticket is not None else None
        if issuer is not None:
            action.hard = ((issuer.seq, Fact("ticket", action.call.ticket, "proved")),)
            action.is_heir = issuer.server == action.server and not action.session

    def _action(self, call: Call, at: Sighting, session: Session | None) -> Action:
        flow = at.flow
        has_task = bool(call.task) and call.operation != "CreateTask"  # done by another later
        ends_later = has_task and call.outcome is Outcome.SUCCESS
        return Action(
            seq=self._correlator.actions.next_seq(),
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
            ids=_distinct(call.request_id, call.operation_id),
            asks=_distinct(call.operation_id, call.activation_id),
            facts=at.facts,
            objects=objects_of(call.target, call.related),
            names=names_of(call.target, call.related),
            target=call.target,
            outcome=Outcome.UNKNOWN if ends_later else call.outcome,
            fault=call.fault,
            final=not ends_later,
            legs_due=not at.facts and self.services.is_relay(flow.client_ip),
        )

    def _pass(self, seq: int, at: Sighting) -> None:
        """An action was seen before, behind the proxy that this flow leads to."""
        self.services.proxy(at.flow.server_ip, legs=1)
        action = self._correlator.actions.get(seq)
        if action is not None:
            self._correlator.other_leg(action, at.client_ip, at.client_port, at.passed_proxy)

    def _login(self, message: Login, at: Sighting) -> list[Record]:
        records = self._logins.login(message, at)
        if message.new_tokens and self._unnamed:  # its first use may have overtaken the login
            session = self.sessions.of_token(message.new_tokens[0], message.end_ns)
            if session is not None and session.user:
                self._amend(session)
        return records

    def _server(self, message: ServerSeen, at: Sighting) -> list[Record]:
        flow = at.flow
        if self._legs.inner(flow, message) is not None:
            self.services.proxy(flow.server_ip, legs=1)
        self._legs.keep(flow, message, None)
        self.services.observe(message, flow.server_ip, flow.server_port, at.client_ip)
        return []

    def _task(self, message: TaskChanged, at: Sighting) -> list[Record]:
        server = at.flow.server_ip
        self.inventory.named(server, message.entity)
        action = self._correlator.task(server, message)
        if action is not None and message.user:
            self._named(self._unknown(action.session), message.user)
        return []

    def _object(self, message: ObjectSeen, at: Sighting) -> list[Record]:
        self.inventory.seen(at.flow.server_ip, message)
        return []

    def _session(self, message: SessionSeen, at: Sighting) -> list[Record]:
        del at
        session = self.sessions.seen(message)
        if session is not None:
            self._amend(session)
        return []

    def _expired(self, message: SessionExpired, at: Sighting) -> list[Record]:
        del at
        self.sessions.expire(message.token, message.end_ns)
        return []

    def _ticket(self, message: TicketIssued, at: Sighting) -> list[Record]:
        flow, time_ns, seq = self._last_call
        issued_by = seq if (flow, time_ns) == (at.flow, message.time_ns) else 0
        self.sessions.issue(message, issued_by)
        return []

    def _unknown(self, identity: int) -> Session | None:
        session = self.sessions.get(identity)
        return session if session is not None and not session.user else None

    def _named(self, session: Session | None, user: str) -> None:
        if session is not None and self.sessions.name(session, user) is not None:
            self._amend(session)

    def _amend(self, session: Session) -> None:
        """An unknown session has got its name: so have its actions."""
        for seq in self._unnamed.pop(session.id, ()):
            action = self._correlator.actions.get(seq)
            if action is not None:
                self._correlator.changed(action, "identity learned")

    def _said(self) -> list[Record]:
        records: list[Record] = []
        for action, reason in self._correlator.take():
            record = self._recorder.action(action, reason, self._correlator.actions)
            records.append(record)
            session = self.sessions.get(action.session)
            shown = list(alerts.of_action(action, session, self.services)) if not reason else []
            shown += alerts.of_verdict(action)
            records += [self._recorder.alert(why, record, value) for why, value in shown]
        return records


def _distinct(one: str, other: str) -> tuple[str, ...]:
    if not one or one == other:
        return (other,) if other else ()
    return (one, other) if other else (one,)
