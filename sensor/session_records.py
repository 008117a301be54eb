"""Logins and logouts written as records. Reads the tables, changes nothing."""

from dataclasses import replace

from decoders.message import Login, Logout
from sensor.correlate.actions import Fact, Pairs
from sensor.levels import (
    PROXY,
    PROXY_API,
    SSO,
    actor_pairs,
    chain_of,
    evidence_of,
    proxy_facts,
    proxy_pairs,
)
from sensor.recording import (
    Recorder,
    Sighting,
    client_of,
    flow_ref,
)
from sensor.records import Endpoint, Hop, ObjectRef, Operation, Record
from sensor.services import Services
from sensor.sessions import Session, Sessions

# Services that answer at another's address, known by what was asked.
_BESIDE = {PROXY_API: PROXY, "sts": SSO, "sso-admin": SSO}


class SessionRecorder:
    def __init__(self, recorder: Recorder, sessions: Sessions, services: Services) -> None:
        self._recorder = recorder
        self._sessions = sessions
        self._services = services

    def login(
        self,
        login: Login,
        at: Sighting,
        session: Session | None,
        identity: str,
        issued_by: str = "",
    ) -> Record:
        """A chain of its own. One by impersonation is the last hop of its actors' chain.

        `issued_by` is the record of the login that issued the assertion which this one shows.
        """
        user = session.user if session is not None else self._sought(login)
        pairs, parent_id = self._pairs(login, at, session, user), issued_by
        facts = _login_facts(login)
        origin = self._sessions.get(session.derived_from) if session is not None else None
        if session is not None and session.actors:
            parent_id = session.actors[-1][1]
            facts += (Fact("impersonation", session.actors[-1][0], "proved"),)
        if origin is not None:
            parent_id = parent_id or origin.login_id
            facts += (Fact("derived_from", origin.name, "proved"),)
        return self._record(login, at, session, pairs, identity, facts, parent_id, login.details)

    def logout(
        self,
        logout: Logout,
        at: Sighting,
        session: Session | None,
        ended: list[Session],
        identity: str,
    ) -> Record:
        """`session` is who asked; `ended` are those that ended, others' if terminated by key."""
        user, parent_id = "", ""
        if session is not None:
            user = session.user
            parent_id = session.login_id if session.actors or session.delegation else ""
        record = self._record(
            logout, at, session, self._pairs(logout, at, session, user), identity, (), parent_id
        )
        if not logout.sessions:
            return record
        named = ObjectRef("Session", logout.sessions[0], ended[0].user if ended else "")
        return replace(record, target=named)

    def _sought(self, login: Login) -> str:
        """Whose identity a refused login was to get."""
        lender = self._sessions.lender(login.ticket)
        return login.user or login.claimed or (lender.user if lender is not None else "")

    def _pairs(
        self, message: Login | Logout, at: Sighting, session: Session | None, user: str
    ) -> Pairs:
        service = _BESIDE.get(message.api, "")
        service = service or self._services.of_server(at.flow.server_ip, at.flow.server_port)
        above = proxy_pairs(at.proxy) if service != PROXY else ()
        return (*above, *actor_pairs(service, session), (service, user))

    def _record(
        self,
        message: Login | Logout,
        at: Sighting,
        session: Session | None,
        pairs: Pairs,
        identity: str,
        facts: tuple[Fact, ...],
        parent_id: str = "",
        details: tuple[tuple[str, str], ...] = (),
    ) -> Record:
        service, user = pairs[-1]
        kind = "login" if isinstance(message, Login) else "logout"
        method = message.method.value if isinstance(message, Login) else ""
        hop = Hop(
            index=len(pairs) - 1,
            count=len(pairs),
            service=service,
            user=user,
            cause="explicit" if parent_id or len(pairs) > 1 else "none",
            confidence=1.0,
            parent_id=parent_id or (at.proxy.login_id if len(pairs) > 1 else ""),
            evidence=evidence_of((*facts, *proxy_facts(at.proxy), *at.facts)),
        )
        return Record(
            kind=kind,
            ts=message.time_ns,
            ts_end=message.end_ns,
            id=identity,
            visibility=at.visibility,
            chain=chain_of(identity, pairs),
            hop=hop,
            source=Endpoint(at.client_ip, at.client_port, self._services.of_client(at.client_ip)),
            to=Endpoint(
                at.flow.server_ip,
                at.flow.server_port,
                service,
                user,
                session.name if session is not None else "",
                self._services.host_name(at.flow.server_ip),
            ),
            op=Operation(message.operation, message.api, kind, message.operation_id, method),
            outcome=message.outcome.value,
            fault=message.fault,
            flow=flow_ref(at.flow),
            process=at.flow.process,
            tls=at.tls,
            client=client_of(message),
            sensor=self._recorder.sensor,
            extra=dict(details),
        )


def _login_facts(login: Login) -> tuple[Fact, ...]:
    facts = []
    if login.ticket:
        facts.append(Fact("ticket", login.ticket, "proved"))
    if login.client_address:
        facts.append(Fact("client_address", login.client_address, "asserted"))
    if login.assertion:
        facts.append(Fact("assertion", login.assertion, "proved"))
    facts += [Fact("delegate", name, "proved") for name in login.delegates]
    if login.claimed and login.user and login.claimed != login.user:
        facts.append(Fact("claimed_user", login.claimed, "claimed"))
    return tuple(facts)
