"""Actions, gaps and alerts written as records. Reads the tables, changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from decoders.message import GuestLogin, GuestLogout, Message, Target
from sensor import levels
from sensor.correlate import chains
from sensor.correlate.actions import (
    NO_PROXY,
    Action,
    Actions,
    Aside,
    Cause,
    Fact,
    Pairs,
    Path,
    ProxyAccount,
)
from sensor.correlate.inventory import Inventory
from sensor.flows import Flow
from sensor.gaps import Gap
from sensor.records import (
    Candidate,
    Client,
    Endpoint,
    FlowRef,
    Hop,
    ObjectRef,
    Operation,
    Record,
    SensorRef,
    Tls,
    path_of,
)
from sensor.services import Services
from sensor.sessions import Session, Sessions
from sensor.tls_legs import Legs

NewId = Callable[[int], str]  # packet time -> an id

_CAUSES = {
    Cause.NONE: "none",
    Cause.EXPLICIT: "explicit",
    Cause.CORRELATED: "correlated",
    Cause.AMBIGUOUS: "ambiguous",
    Cause.UNSEEN: "none",
}
GUEST = "GST"  # the service that an account inside a VM belongs to
VIA = "via"  # evidence that there is a proxy, which names itself
_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}
CONFIDENCE_DIGITS = 4


class Sighting(NamedTuple):
    """Where a message was seen, and who sent it, behind any proxy."""

    flow: Flow
    client_ip: str
    client_port: int  # 0: the proxy does not say
    visibility: str = "clear"
    facts: tuple[Fact, ...] = ()  # how the client is known, if not by its packets
    tls: Tls | None = None
    proxy: ProxyAccount = NO_PROXY  # of the client

    @property
    def names_client(self) -> bool:
        """Is it known who sent it, so that no other leg needs to say so?"""
        return any(fact.key != VIA for fact in self.facts)

    @property
    def passed_proxy(self) -> Fact:
        """Evidence that this flow leads to a proxy, which passed the request on."""
        return Fact("proxy", self.flow.server_ip, "proved")


class Recorder:
    def __init__(
        self,
        sessions: Sessions,
        services: Services,
        inventory: Inventory,
        new_id: NewId,
        sensor: SensorRef,
    ) -> None:
        self._sessions = sessions
        self._services = services
        self._inventory = inventory
        self.new_id = new_id
        self.sensor = sensor

    def own_pairs(self, action: Action) -> Pairs:
        """The action's own end of its path: who acts, after those who act as him."""
        session = self._sessions.get(action.session)
        service = self._services.of_server(action.server, action.server_port)
        user = action.call.user or (session.user if session is not None else "")
        above = levels.proxy_pairs(action.proxy) + levels.actor_pairs(service, session)
        below = levels.tenant_pairs(service, user, action.call.tenant)
        alone = levels.account_pairs(service, user)
        return (*above, *alone, *below) if above or below else alone

    def action(self, action: Action, reason: str, actions: Actions) -> Record:
        """The action's record; with a reason, an amendment of it."""
        call, view = action.call, chains.stated(action.paths)
        service, user = view.pairs[-1]
        session = self._sessions.get(action.session)
        kind = "login" if action.login is not None else "action"
        return Record(
            kind="chain" if reason else kind,
            ts=call.time_ns,
            ts_end=max(call.end_ns, action.moved_ns),
            id=self.new_id(call.time_ns) if reason else action.id,
            visibility=action.visibility,
            chain=levels.chain_of(action.id, _with_guest(action, view.pairs)),
            hop=self._hop(action, view, session, actions),
            source=self._caller(action, view, actions),
            to=Endpoint(
                action.server,
                action.server_port,
                service,
                user,
                session.name if session is not None else "",
                self._services.host_name(action.server),
            ),
            op=Operation(
                call.operation,
                call.api,
                call.operation_class.value,
                call.operation_id,
                action.login.method.value if action.login is not None else "",
            ),
            target=self._target(action),
            outcome=action.outcome.value,
            fault=action.fault,
            task=call.task,
            guest_user=action.guest,
            amends=action.id if reason else "",
            reason=reason,
            flow=flow_ref(action.flow),
            tls=action.tls,
            client=client_of(call),
            process=action.flow.process,
            sensor=self.sensor,
            extra=_extra(action),
        )

    def guest(self, aside: Aside, record: Record, user: str) -> Record:
        """The login or logout inside the guest that the action of `record` was.

        It is amended when the action is; then the record gets an id of its own, too.
        """
        message, is_amendment = aside.message, bool(record.amends)
        is_login = isinstance(message, GuestLogin)
        kind = "login" if is_login else "logout"
        method = message.credential if isinstance(message, GuestLogin) else ""
        return replace(
            record,
            kind="chain" if is_amendment else kind,
            id=self.new_id(message.time_ns) if is_amendment else aside.id,
            amends=aside.id if is_amendment else "",
            ts=message.time_ns,
            ts_end=message.end_ns,
            chain=replace(record.chain, id=aside.id) if record.chain is not None else None,
            to=replace(record.to, service=GUEST, user=user, session=message.ticket),
            op=Operation(message.operation, message.api, kind, message.operation_id, method),
            guest_user=user,
            task="",
            extra={"interactive": "true"} if _is_interactive(message) else {},
        )

    def closed(self, record: Record, moved: tuple[int, int], end_ns: int) -> Record:
        """An amendment, by the bytes that moved, of a record whose action is forgotten."""
        return replace(
            record,
            kind="chain",
            ts_end=end_ns,
            id=self.new_id(record.ts),
            amends=record.amends or record.id,
            reason="closed",
            extra={**record.extra, **_bytes(moved)},
        )

    def gap(self, gap: Gap) -> Record:
        """Bytes that the sensor did not see: it was blind there."""
        flow = gap.flow
        service = self._services.of_server(flow.server_ip, flow.server_port)
        return Record(
            kind="gap",
            ts=gap.first_ns,
            ts_end=gap.last_ns,
            id=self.new_id(gap.first_ns),
            visibility="tapped" if flow.tapped else visibility_of(gap.tls),
            source=Endpoint(flow.client_ip, flow.client_port),
            to=Endpoint(
                flow.server_ip,
                flow.server_port,
                service,
                host=self._services.host_name(flow.server_ip),
            ),
            reason="bytes not captured",
            gap_bytes=gap.size_bytes,
            flow=flow_ref(flow),
            tls=gap.tls,
            process=flow.process,
            sensor=self.sensor,
        )

    def notice(
        self, reason: str, value: str, message: Message, at: Sighting, op: Operation
    ) -> Record:
        """An alert about something of which there is no record but this."""
        services, flow = self._services, at.flow
        identity = self.new_id(message.time_ns)
        return Record(
            kind="alert",
            ts=message.time_ns,
            ts_end=message.end_ns,
            id=identity,
            visibility=at.visibility,
            source=Endpoint(
                at.client_ip,
                at.client_port,
                services.of_client(at.client_ip),
                host=services.host_name(at.client_ip),
            ),
            to=Endpoint(
                flow.server_ip,
                flow.server_port,
                services.of_server(flow.server_ip, flow.server_port),
                host=services.host_name(flow.server_ip),
            ),
            op=op,
            reason=reason,
            flow=flow_ref(flow),
            tls=at.tls,
            client=client_of(message),
            process=flow.process,
            sensor=self.sensor,
            extra={"record": identity, "value": value},
        )

    def alert(self, reason: str, about: Record, value: str = "") -> Record:
        """Something that an analyst should look at; `about` is the record that shows it."""
        extra = {"record": about.amends or about.id}
        if value:
            extra["value"] = value
        return Record(
            kind="alert",
            ts=about.ts,
            ts_end=about.ts_end,
            id=self.new_id(about.ts),
            visibility=about.visibility,
            chain=about.chain,
            hop=about.hop,
            source=about.source,
            to=about.to,
            op=about.op,
            target=about.target,
            outcome=about.outcome,
            reason=reason,
            flow=about.flow,
            tls=about.tls,
            client=about.client,
            process=about.process,
            sensor=self.sensor,
            extra=extra,
        )

    def _hop(
        self, action: Action, view: chains.Stated, session: Session | None, actions: Actions
    ) -> Hop:
        facts = action.verdict.facts if action.verdict is not None else ()
        cause, parent_id = view.cause, view.parent_id
        if session is not None and session.actors:
            facts += (Fact("impersonation", session.actors[-1][0], "proved"),)
        if session is not None and (session.actors or session.delegation) and cause is Cause.NONE:
            cause, parent_id = Cause.EXPLICIT, session.login_id  # the one level up
        if action.proxy.user and cause is Cause.NONE:
            cause, parent_id = Cause.EXPLICIT, action.proxy.login_id
        if session is not None and levels.tenant_pairs("", session.user, action.call.tenant):
            facts += (Fact("tenant", action.call.tenant, "asserted"),)
            if cause is Cause.NONE:
                cause, parent_id = Cause.EXPLICIT, session.login_id
        pairs = _with_guest(action, view.pairs)
        service, user = pairs[-1]
        if action.guest_fact is not None:
            facts += (action.guest_fact,)
        return Hop(
            index=len(pairs) - 1,
            count=len(pairs),
            service=service,
            user=user,
            cause=_CAUSES[cause],
            confidence=round(view.confidence, CONFIDENCE_DIGITS),
            parent_id=parent_id,
            state="provisional" if action.is_provisional else "",
            candidates=tuple(_candidate(action, path, actions) for path in view.candidates),
            evidence=levels.evidence_of((*facts, *levels.proxy_facts(action.proxy), *action.facts)),
        )

    def _caller(self, action: Action, view: chains.Stated, actions: Actions) -> Endpoint:
        """Who called: of a service, also the account that it was asked under, if one is decided."""
        service = self._services.of_client(action.client)
        user = session_name = ""
        parent = actions.get(view.parent) if len(view.candidates) == 0 else None
        if parent is not None:
            user = view.pairs[-2][1] if len(view.pairs) > 1 else ""
            session = self._sessions.get(parent.session)
            session_name = session.name if session is not None else ""
        host = self._services.host_name(action.client)
        return Endpoint(action.client, action.client_port, service, user, session_name, host)

    def _target(self, action: Action) -> ObjectRef:
        target = action.call.target
        name = target.name or self._inventory.name_of(action.server, target.id)
        return ObjectRef(target.type, target.id, name)


def leg_facts(legs: Legs | None, flow: Flow) -> tuple[Fact, ...]:
    """The other flows on which the same bytes were seen, in packets or by a tap."""
    others = [each for each in legs.flows if each != flow] if legs is not None else []
    return tuple(Fact("tap" if each.tapped else "leg", _ends(each), "proved") for each in others)


def _ends(flow: Flow) -> str:
    return (
        f"{flow.uid} {flow.community_id} {flow.client_ip} {flow.client_port} "
        f"{flow.server_ip} {flow.server_port}"
    )


def visibility_of(tls: Tls | None) -> str:
    """How much of a flow can be seen."""
    if tls is None:
        return "clear"
    return "decrypted" if tls.key_source else "metadata"


@lru_cache(maxsize=65536)
def flow_ref(flow: Flow) -> FlowRef:
    proto = _PROTOCOLS.get(flow.protocol, str(flow.protocol))
    return FlowRef(proto, flow.community_id, flow.uid, flow.vlan, flow.tunnel)


def client_of(message: Message) -> Client:
    return _client(message.user_agent, message.forwarded_for)


@lru_cache(maxsize=4096)
def _client(user_agent: str, forwarded_for: str) -> Client:
    return Client(user_agent, forwarded_for)


def _with_guest(action: Action, pairs: Pairs) -> Pairs:
    """A path goes on into the guest; what the action leads to does not go through there."""
    return (*pairs, (GUEST, action.guest)) if action.has_guest else pairs


def _is_interactive(message: GuestLogin | GuestLogout) -> bool:
    return isinstance(message, GuestLogin) and message.interactive


def _candidate(action: Action, path: Path, actions: Actions) -> Candidate:
    """Named by the action at its head: what that person asked for."""
    head = actions.get(path.head)
    return Candidate(
        id=head.id if head is not None else "",
        user=path.pairs[0][1],
        path=path_of(_with_guest(action, path.pairs)),
        confidence=round(path.weight, CONFIDENCE_DIGITS),
    )


def _extra(action: Action) -> dict[str, str]:
    call = action.call
    extra = {
        "request_id": call.request_id,
        "related": ", ".join(filter(None, map(_named, call.related))) if call.related else "",
        "result": action.result.id,
        "initiated_by": call.initiated_by,
        "guest_interactive": "true" if call.guest_interactive else "",
        **dict(call.details),
    }
    if action.moved is not None:
        extra |= _bytes(action.moved)
    return {name: value for name, value in extra.items() if value}


def _named(related: Target) -> str:
    """A process has a number alone; ids of other kinds are for joins, and some hold a session."""
    return related.name or (related.id if related.type == "GuestProcess" else "")


def _bytes(moved: tuple[int, int]) -> dict[str, str]:
    to_server, to_client = moved
    return {"bytes_to_server": str(to_server), "bytes_to_client": str(to_client)}
