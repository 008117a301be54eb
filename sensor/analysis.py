"""From messages to records: sessions, services and correlation behind one door.

Messages come in order of their transactions' ends, nearly; time is packet time. The same messages
give the same records, ids aside.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from decoders.message import (
    Call,
    GuestLogin,
    GuestLogout,
    HostBeat,
    Login,
    LoginMethod,
    Logout,
    Message,
    Moved,
    ObjectSeen,
    ProxyLogin,
    ServerSeen,
    SessionExpired,
    SessionSeen,
    TaskChanged,
    TicketIssued,
)
from sensor.alert_settings import AlertSettings
from sensor.alerts.rules import Alerts
from sensor.calls import Calls
from sensor.correlate.actions import Fact
from sensor.correlate.inventory import Inventory
from sensor.correlate.limits import Limits
from sensor.flows import Flow
from sensor.gaps import Gaps
from sensor.hosts import Hosts
from sensor.knowledge import Knowledge
from sensor.legs import Legs
from sensor.logins import Logins
from sensor.proxyusers import ProxyUsers
from sensor.recording import VIA, NewId, Recorder, Sighting, leg_facts
from sensor.records import Operation, Record, SensorRef, Tls, new_id
from sensor.sealed import Sealed
from sensor.services import Services
from sensor.sessions import Sessions
from sensor.site import Site
from sensor.tls import TlsSeen, tls_of
from sensor.tls_legs import Legs as TlsSessionLegs
from sensor.tls_legs import TlsLegs

SECOND = 10**9
CLAIMS_MAX = 65536  # flows with a PROXY header

_HEARTBEAT = Operation("heartbeat", "vpxa", "read")
_SEEN = Operation("", "", "read")


class _Claim(NamedTuple):
    """Who a PROXY header says is behind the proxy."""

    ip: str
    port: int
    certificate: str  # the name in his verified certificate; "" if he showed none


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
    """`site` and `trusted_proxies` are what the site knows; the rest is learned.

    With `taps` a connection may be seen twice: in packets, and in a process at its end.
    """

    def __init__(
        self,
        *,
        site: Site | None = None,
        trusted_proxies: Iterable[str] = (),
        alerts: AlertSettings = AlertSettings(),  # noqa: B008 - frozen
        limits: AnalysisLimits = AnalysisLimits(),
        sensor: SensorRef = SensorRef(),  # noqa: B008 - frozen
        new_id: NewId = new_id,
        taps: bool = False,
    ) -> None:
        self.sessions = Sessions(limits.sessions_max, limits.tickets_max, limits.idle_timeout_ns)
        self.services = Services(site, trusted_proxies, limits.addresses_max)
        self.inventory = Inventory(limits.objects_max)
        self._recorder = Recorder(self.sessions, self.services, self.inventory, new_id, sensor)
        self._alerts = Alerts(alerts, self.services)
        self._legs = Legs()
        self._calls = Calls(
            self._recorder,
            self.sessions,
            self.services,
            self.inventory,
            self._legs,
            self._alerts,
            limits.correlate,
            (limits.sessions_max, limits.idle_timeout_ns),
        )
        self._correlator = self._calls.correlator
        self.knowledge = Knowledge(
            self.services, self.inventory, self._calls.accounts, self._correlator
        )
        self._logins = Logins(
            self._recorder,
            self.sessions,
            self.services,
            self._legs,
            self._alerts,
            limits.correlate.hold_ns,
        )
        self._proxy_users = ProxyUsers(self._logins, self.services, limits.idle_timeout_ns)
        self._hosts = Hosts()
        self._gaps = Gaps()
        self._tls_legs = TlsLegs(taps=taps)
        self._sealed = Sealed(
            self._recorder, self.services, self._tls_legs, self.services.site.names
        )
        self._claims: OrderedDict[Flow, _Claim] = OrderedDict()  # PROXY headers
        self._claims_shed = 0
        self._age_ns = 0  # when idle sessions are looked for next
        self._handlers: dict[type[Message], Callable[[Any, Sighting], list[Record]]] = {
            Call: self._calls.call,
            GuestLogin: self._calls.guest_login,
            GuestLogout: self._calls.guest_logout,
            HostBeat: self._beat,
            Login: self._login,
            Logout: self._logins.logout,
            Moved: self._calls.moved,
            ProxyLogin: self._proxy_users.login,
            TaskChanged: self._calls.task,
            ObjectSeen: self._object,
            SessionSeen: self._session,
            SessionExpired: self._expired,
            TicketIssued: self._calls.ticket,
            ServerSeen: self._server,
        }

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        legs = None
        if visibility == "tapped":
            legs = self._tls_legs.tapped(flow)
            tls = tls or (legs.tls if legs is not None else None)
        elif visibility == "decrypted":
            legs = self._tls_legs.of(flow)
        if legs is not None:
            message = self._tls_legs.unified(legs, flow, message)
            if self._tls_legs.repeats(legs, flow, message):
                return []
        at = self._sighting(flow, message, legs, visibility, tls)
        handler = self._handlers.get(type(message))
        records = handler(message, at) if handler is not None else []
        if self._correlator.has_news:
            records += self._calls.said()
        for reason, value in self._alerts.of_message(message, at):
            records.append(self._recorder.notice(reason, value, message, at, _SEEN))
        return records

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        """Something of the flow's TLS is new."""
        legs = self._tls_legs.seen(flow, seen.identity)
        session = self._tls_legs.session(flow)
        if session is not None:
            session.tls = tls_of(seen)
        self._sealed.seen(flow, seen, time_ns)
        for relay in legs.relays if legs is not None else ():
            if not self.services.of_client(relay):  # a service may relay beside its own calls
                self.services.proxy(relay)

    def tapped(self, flow: Flow, time_ns: int) -> None:
        """A tap reads what the flow carries, which may be seen in packets as well."""
        del time_ns
        self._tls_legs.tapped(flow)

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        """Bytes of a flow were missed."""
        if self.services.of_server(flow.server_ip, flow.server_port):
            self._correlator.lost(time_ns)
        del direction  # both belong to one time of blindness
        return [self._recorder.gap(gap) for gap in self._gaps.add(flow, size_bytes, time_ns, tls)]

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        """The flow comes from a proxy, which names its client, and the name in his certificate."""
        del time_ns
        if not self.services.believes(flow.client_ip):
            return
        self.services.proxy(flow.client_ip)
        self._claims[flow] = _Claim(client_ip, client_port, certificate)
        if len(self._claims) > CLAIMS_MAX:
            self._claims.popitem(last=False)
            self._claims_shed += 1

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        del time_ns
        self._claims.pop(flow, None)
        self._proxy_users.end(flow)
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
            self._calls.age(watermark_ns)
            self._alerts.begin(watermark_ns)
        records = self._logins.due(watermark_ns)
        if len(self._gaps):
            records += [self._recorder.gap(gap) for gap in self._gaps.over(watermark_ns)]
        records += self._sealed.over(watermark_ns)
        if self._correlator.has_news:
            records += self._calls.said()
        return records

    def finish(self) -> list[Record]:
        """Nothing more comes."""
        self._correlator.finish()
        records = self._logins.all()
        records += [self._recorder.gap(gap) for gap in self._gaps.all()]
        records += self._sealed.all()
        records += self._calls.said()
        return records

    def sealed_flows(self) -> dict[str, int]:
        return {"recorded": self._sealed.recorded, "unrecorded": self._sealed.unrecorded}

    def gauges(self) -> dict[str, int]:
        return {
            "sessions": len(self.sessions),
            "sessions_active": self.sessions.active,
            "sessions_shed": self.sessions.shed,
            "tickets_shed": self.sessions.tickets_shed,
            "addresses": len(self.services),
            "addresses_shed": self.services.shed,
            "objects": len(self.inventory),
            "objects_shed": self.inventory.shed,
            "object_links_shed": self.inventory.links_shed,
            **self._calls.gauges(),
            "accounts": len(self._calls.accounts),
            "accounts_shed": self._calls.accounts.shed,
            "hosts": len(self._hosts),
            "hosts_shed": self._hosts.shed,
            "alerts_shed": self._alerts.shed,
            "legs_shed": self._legs.shed,
            "tls_leg_messages_shed": self._tls_legs.shed,
            "proxy_headers_shed": self._claims_shed,
            "proxy_users_shed": self._proxy_users.shed,
            "assertions_shed": self._logins.assertions_shed,
        }

    def heartbeats(self) -> dict[str, int]:
        hosts = self._hosts
        return {"received": hosts.received, "missed": hosts.missed, "restarts": hosts.restarts}

    def _sighting(
        self,
        flow: Flow,
        message: Message,
        legs: TlsSessionLegs | None,
        visibility: str,
        tls: Tls | None,
    ) -> Sighting:
        """Who sent the message: the flow's client, or whom a proxy there names."""
        front = flow
        if legs is not None:
            front, flow = legs.front, legs.at(legs.back, flow)
        ip, port = front.client_ip, front.client_port
        facts = leg_facts(legs, flow)
        claim = self._claim(front, legs) if self._claims else None
        grade = "asserted" if self.services.trusts(front.client_ip) else "claimed"
        if claim is not None:
            ip, port = claim.ip, claim.port
            facts += (Fact("proxy_header", front.client_ip, grade),)
            if claim.certificate:
                facts += (Fact("client_certificate", claim.certificate, grade),)
        elif message.forwarded_for:
            claimed = self.services.claimed_client(front.client_ip, message.forwarded_for)
            if claimed:
                ip, port = claimed, 0
                facts += (Fact("forwarded_for", front.client_ip, grade),)
        if message.via:
            facts += (Fact(VIA, message.via, "claimed"),)
        self.services.client_since(ip, message.time_ns)
        return Sighting(flow, ip, port, visibility, facts, tls, self._proxy_users.of(front))

    def _claim(self, front: Flow, legs: TlsSessionLegs | None) -> _Claim | None:
        """Of the flow, or of the same connection as its packets show it."""
        same = [front] if legs is None else [each for each in legs.flows if each.ends == front.ends]
        return next((self._claims[each] for each in same if each in self._claims), None)

    def _login(self, message: Login, at: Sighting) -> list[Record]:
        if message.method is LoginMethod.TICKET:
            return self._calls.login(message, at)
        records = self._logins.login(message, at)
        if message.new_tokens:  # its first use may have overtaken the login
            session = self.sessions.of_token(message.new_tokens[0], message.end_ns)
            if session is not None and session.user:
                self._calls.name(session)
        return records

    def _server(self, message: ServerSeen, at: Sighting) -> list[Record]:
        flow = at.flow
        if self._legs.inner(flow, message) is not None:
            self.services.proxy(flow.server_ip, legs=1)
        self._legs.keep(flow, message, None)
        self.services.observe(message, flow.server_ip, flow.server_port, at.client_ip)
        return []

    def _object(self, message: ObjectSeen, at: Sighting) -> list[Record]:
        self.inventory.seen(at.flow.server_ip, message)
        return []

    def _session(self, message: SessionSeen, at: Sighting) -> list[Record]:
        del at
        session = self.sessions.seen(message)
        if session is not None:
            self._calls.name(session)
        return []

    def _expired(self, message: SessionExpired, at: Sighting) -> list[Record]:
        del at
        self.sessions.expire(message.token, message.end_ns)
        return []

    def _beat(self, message: HostBeat, at: Sighting) -> list[Record]:
        flow = at.flow
        changes = self._hosts.beat(message, flow)
        name = self.inventory.name_of_uuid(message.host_key) or message.host_key
        for address in dict.fromkeys((flow.client_ip, message.address)):
            if address:
                self.services.heartbeat(address, flow.server_ip)
                self.services.name_host(address, name)
        return [
            self._recorder.notice(reason, value, message, at, _HEARTBEAT)
            for reason, value in self._alerts.wanted(changes)
        ]
