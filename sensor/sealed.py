"""TLS that stays sealed: for each such flow one record that two services talked, and about no more.

Who asked for what is unknown, so no user is named and no action guessed: `VCD:?:VC:?`. A flow
between addresses that are no services is counted only.
"""

from collections import OrderedDict
from collections.abc import Mapping

from sensor.correlate.actions import Fact, Pair, Pairs
from sensor.flows import Flow
from sensor.levels import chain_of, evidence_of
from sensor.recording import Recorder, flow_ref, leg_facts
from sensor.records import Endpoint, Hop, Record
from sensor.services import Services
from sensor.tls import TlsSeen, TlsTrouble, tls_of
from sensor.tls_legs import Legs, TlsLegs

# A key that has not come by then does not come, and a connection may stay for days.
WAIT_NS = 60 * 10**9


class Sealed:
    def __init__(
        self, recorder: Recorder, services: Services, legs: TlsLegs, names: Mapping[str, str]
    ) -> None:
        self._recorder = recorder
        self._services = services
        self._legs = legs
        self._names = names  # of servers, in lower case -> service
        self._waiting: OrderedDict[Flow, tuple[int, TlsSeen]] = OrderedDict()  # first seen, as now
        self._done: set[Flow] = set()  # decrypted or told, until the flow ends
        self.recorded = 0
        self.unrecorded = 0  # neither end is a known service

    def seen(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        if flow in self._done:
            return
        if seen.is_decrypted:
            self._finish(flow)
            return
        first_ns, _ = self._waiting.get(flow, (time_ns, seen))
        self._waiting[flow] = (first_ns, seen)

    def end(self, flow: Flow) -> list[Record]:
        records = self._tell(flow) if flow in self._waiting else []
        self._done.discard(flow)
        return records

    def over(self, now_ns: int) -> list[Record]:
        """Flows that have waited long enough."""
        records: list[Record] = []
        while self._waiting:
            flow, (first_ns, _) = next(iter(self._waiting.items()))
            if now_ns - first_ns < WAIT_NS:
                break
            records += self._tell(flow)
        return records

    def all(self) -> list[Record]:
        return [record for flow in list(self._waiting) for record in self._tell(flow)]

    def _finish(self, flow: Flow) -> bool:
        """Nothing more is to be told of the flow; False if another leg's end said that before."""
        self._waiting.pop(flow, None)
        self._done.add(flow)
        session = self._legs.session(flow)
        if session is None:
            return True
        before, session.settled = session.settled, True
        return not before

    def _tell(self, flow: Flow) -> list[Record]:
        first_ns, seen = self._waiting[flow]
        if not self._finish(flow):
            return []
        if not seen.version and seen.trouble != TlsTrouble.UNSEEN:
            return []  # nobody answered
        record = self._record(flow, self._legs.of(flow), seen, first_ns)
        if record is None:
            self.unrecorded += 1
            return []
        self.recorded += 1
        return [record]

    def _record(self, flow: Flow, legs: Legs | None, seen: TlsSeen, first_ns: int) -> Record | None:
        front, back = (flow, flow) if legs is None else (legs.front, legs.back)
        client = self._services.of_client(front.client_ip)
        server, known_by = self._server(back, seen)
        if not client and not server:
            return None
        pairs: Pairs = (*_caller(client), (server, ""))
        identity = self._recorder.new_id(first_ns)
        return Record(
            kind="chain",
            ts=first_ns,
            id=identity,
            visibility="metadata",
            chain=chain_of(identity, pairs),
            hop=Hop(
                index=len(pairs) - 1,
                count=len(pairs),
                service=server,
                user="",
                cause="none",
                confidence=0.0,
                evidence=evidence_of((*known_by, *leg_facts(legs, back))),
            ),
            source=Endpoint(front.client_ip, front.client_port, client),
            to=Endpoint(
                back.server_ip,
                back.server_port,
                server,
                host=self._services.host_name(back.server_ip),
            ),
            flow=flow_ref(back),
            tls=tls_of(seen),
            sensor=self._recorder.sensor,
        )

    def _server(self, flow: Flow, seen: TlsSeen) -> tuple[str, tuple[Fact, ...]]:
        """The service there and how it is known; by the client's word if by its name."""
        service = self._services.of_server(flow.server_ip, flow.server_port)
        if service:
            return service, (Fact("server_address", flow.server_ip, "inferred"),)
        name = seen.sni.lower().rstrip(".")
        service = self._names.get(name, "")
        return service, (Fact("sni", name, "claimed"),) if service else ()


def _caller(service: str) -> tuple[Pair, ...]:
    return ((service, ""),) if service else ()
