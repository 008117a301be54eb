"""Logins and logouts: from messages to sessions and records.

A record leaves at once; only when the client's address is a proxy whose other leg is usually seen
does it wait for that leg, which says who asked.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace

from decoders.message import Login, Logout, Outcome
from sensor.alerts.rules import Alerts
from sensor.correlate.actions import is_claimed
from sensor.legs import Legs
from sensor.levels import (
    evidence_of,
    under_proxy,
)
from sensor.recording import (
    Recorder,
    Sighting,
)
from sensor.records import Endpoint, Record
from sensor.services import Services
from sensor.session_records import SessionRecorder
from sensor.sessions import Sessions

SSO_API = "sts"
ASSERTIONS_MAX = 65536  # each lives for minutes to days


@dataclass(slots=True)
class _Held:
    deadline_ns: int
    record: Record


class Logins:
    def __init__(
        self,
        recorder: Recorder,
        sessions: Sessions,
        services: Services,
        legs: Legs,
        alerts: Alerts,
        hold_ns: int,
    ) -> None:
        self._recorder = recorder
        self._alerts = alerts
        self._writer = SessionRecorder(recorder, sessions, services)
        self._sessions = sessions
        self._services = services
        self._legs = legs
        self._hold_ns = hold_ns
        self._held: OrderedDict[str, _Held] = OrderedDict()  # by record id
        self._assertions: OrderedDict[str, str] = OrderedDict()  # -> id of the login that issued it
        self.assertions_shed = 0

    def login(self, message: Login, at: Sighting) -> list[Record]:
        passed = self._passed(message, at)
        if passed is not None:
            return passed
        self._services.observe(message, at.flow.server_ip, at.flow.server_port, at.client_ip)
        if message.outcome is Outcome.SUCCESS and not is_claimed(at.facts):
            self._services.acted(at.client_ip, at.flow.server_ip, message.user)
        redeemed = self._sessions.redeemed(message.ticket)
        session = self._sessions.login(message, at.flow.server_ip, at.client_ip)
        identity = self._recorder.new_id(message.time_ns)
        if session is not None:
            session.login_id = identity
        record = self._writer.login(message, at, session, identity, self._issuer(message, identity))
        shown = [
            self._recorder.alert(reason, record, value)
            for reason, value in self._alerts.of_login(message, at, redeemed)
        ]
        return [*self._release(message, at, record), *shown]

    def logout(self, message: Logout, at: Sighting) -> list[Record]:
        passed = self._passed(message, at)
        if passed is not None:
            return passed
        session = self._sessions.of_token(message.token, message.end_ns, at.client_ip)
        ended = self._sessions.logout(message)
        identity = self._recorder.new_id(message.time_ns)
        record = self._writer.logout(message, at, session, ended, identity)
        return self._release(message, at, record)

    def due(self, now_ns: int) -> list[Record]:
        """Records whose other leg did not come."""
        records = []
        while self._held:
            held = next(iter(self._held.values()))
            if held.deadline_ns > now_ns:
                break
            records.append(self._held.popitem(last=False)[1].record)
        return records

    def all(self) -> list[Record]:
        records = [held.record for held in self._held.values()]
        self._held.clear()
        return records

    def _release(self, message: Login | Logout, at: Sighting, record: Record) -> list[Record]:
        self._legs.keep(at.flow, message, record)
        if at.names_client or not self._services.is_relay(at.flow.client_ip):
            return [record]
        self._held[record.id] = _Held(message.end_ns + self._hold_ns, record)
        return []

    def _passed(self, message: Login | Logout, at: Sighting) -> list[Record] | None:
        """What follows when this is the leg to a proxy of a request seen before; None if not."""
        leg = self._legs.inner(at.flow, message)
        if leg is None or not isinstance(leg.subject, Record):
            return None
        self._services.proxy(at.flow.server_ip, legs=1)
        held = self._held.pop(leg.subject.id, None)
        if held is None and leg.subject.source.ip == at.client_ip and not at.proxy.user:
            return []  # the proxy had said so itself
        record = self._from_client(leg.subject, at)
        if held is None:
            record = replace(
                record,
                kind="chain",
                id=self._recorder.new_id(message.time_ns),
                amends=record.id,
                reason="proxy passed",
            )
        return [record]

    def _from_client(self, record: Record, at: Sighting) -> Record:
        service = self._services.of_client(at.client_ip)
        record = under_proxy(record, at.proxy)
        hop = record.hop
        if hop is not None:
            hop = replace(hop, evidence=hop.evidence + evidence_of([at.passed_proxy]))
        return replace(record, source=Endpoint(at.client_ip, at.client_port, service), hop=hop)

    def _issuer(self, message: Login, identity: str) -> str:
        """The login by which the assertion that is shown was issued; "" if that was not seen."""
        if not message.assertion or message.outcome is not Outcome.SUCCESS:
            return ""
        if message.api != SSO_API:
            return self._assertions.get(message.assertion, "")
        self._assertions[message.assertion] = identity
        if len(self._assertions) > ASSERTIONS_MAX:
            self._assertions.popitem(last=False)
            self.assertions_shed += 1
        return ""
