"""Talk on a management network as messages, and what the analysis records of them.

    talk = Talk()
    talk.login(BOB, VCD, "bob@acme")
    talk.call(BOB, VCD, "DELETE vApp", vapp("app1"), request_id="r1")
    talk.call(VCD, VC, "Destroy_Task", vm("vm-1"), operation_id="r1")
    assert talk.path("Destroy_Task") == "VCD:bob@acme:VC:vCloudService"

Each thing said happens 10 ms after the one before and takes 5 ms, unless `at` and `lasts` say
otherwise (seconds since the start). The services' own sessions exist from the start unless
`strangers`.
"""

import itertools
from collections.abc import Sequence
from typing import Any

from decoders.message import (
    Call,
    Login,
    LoginMethod,
    Message,
    ObjectSeen,
    OperationClass,
    Outcome,
    ServerSeen,
    Target,
    TaskChanged,
)
from sensor.analysis import Analysis
from sensor.flows import Flow
from sensor.records import Record

START_NS = 1_800_000_000 * 10**9
MS = 10**6
BOB, ALICE, CAROL, ADMIN, PROXY = "10.0.1.11", "10.0.1.12", "10.0.1.13", "10.0.1.30", "10.0.2.20"
VCD, VC, ESX1, ESX2 = "10.0.2.10", "10.0.3.10", "10.0.4.11", "10.0.4.12"
SERVICES = {VCD: "VCD", VC: "VC", ESX1: "ESX", ESX2: "ESX"}
APIS = {VCD: "vcloud"}
CLASSES = {
    "Destroy": OperationClass.DELETE,
    "DELETE": OperationClass.DELETE,
    "Power": OperationClass.POWER,
    "power": OperationClass.POWER,
    "Create": OperationClass.CREATE,
    "Clone": OperationClass.CREATE,
    "instantiate": OperationClass.CREATE,
    "StartProgram": OperationClass.GUEST,
}


def vm(identity: str, name: str = "") -> Target:
    return Target("VirtualMachine", identity, name)


def vapp(name: str) -> Target:
    return Target("VApp", f"vapp-{name}", name)


NOTHING = Target()


class Numbered:
    """Ids that a test can tell apart: r1, r2, ..."""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self, _time_ns: int) -> str:
        self.last += 1
        return f"r{self.last}"


class Talk:
    def __init__(self, *, strangers: bool = False, **settings: Any) -> None:
        self.analysis = Analysis(new_id=Numbered(), **settings)
        self.records: list[Record] = []
        self.now_ns = START_NS
        self._users: dict[tuple[str, str], str] = {}  # (client, server) -> token
        self._ports = itertools.count(40000)
        if not strangers:
            self.login(VC, ESX1, "vpxuser")
            self.login(VC, ESX2, "vpxuser")
            self.login(VCD, VC, "vCloudService")
            for server, service in SERVICES.items():
                start_ns, end_ns = self.span().values()
                seen = ServerSeen(service=service, time_ns=start_ns, end_ns=end_ns)
                self.say(ADMIN, server, seen)
            self.wait(3)

    def span(self, at: float | None = None, lasts: float = 0.005) -> dict[str, Any]:
        """The next 10 ms, or from `at` on."""
        if at is None:
            self.now_ns += 10 * MS
            start_ns = self.now_ns
        else:
            start_ns = START_NS + round(at * 10**9)
        return {"time_ns": start_ns, "end_ns": start_ns + round(lasts * 10**9)}

    def say(self, client: str, server: str, message: Message, port: int = 0) -> list[Record]:
        """A message on its way; what is recorded because of it."""
        flow = flow_of(client, server, port or next(self._ports))
        self.now_ns = max(self.now_ns, message.end_ns)
        said = self.analysis.advance(message.end_ns)
        said += self.analysis.message(flow, message)
        self.records += said
        return said

    def wait(self, seconds: float) -> list[Record]:
        """Packet time passes."""
        self.now_ns += round(seconds * 10**9)
        said = self.analysis.advance(self.now_ns)
        self.records += said
        return said

    def finish(self) -> list[Record]:
        said = self.analysis.finish()
        self.records += said
        return said

    def login(
        self,
        client: str,
        server: str,
        user: str,
        new: str = "",
        *,
        at: float | None = None,
        lasts: float = 0.005,
        port: int = 0,
        **more: Any,
    ) -> str:
        """The token that the client has at the server from now on: a new one, or `token`."""
        token = new or more.get("token") or f"token-{user}-{client}-{server}"
        fields: dict[str, Any] = {
            "api": APIS.get(server, "vim25"),
            "operation": "Login",
            "method": LoginMethod.PASSWORD,
            "outcome": Outcome.SUCCESS,
            "user": user,
            "claimed": user,
            "new_tokens": () if "token" in more and not new else (token,),
            **self.span(at, lasts),
            **more,
        }
        self.say(client, server, Login(**fields), port)
        self._users[client, server] = token
        return token

    def call(
        self,
        client: str,
        server: str,
        operation: str,
        target: Target = NOTHING,
        related: Sequence[Target] = (),
        *,
        at: float | None = None,
        lasts: float = 0.005,
        port: int = 0,
        **more: Any,
    ) -> None:
        """An action under the client's token at the server, done at once unless it has a task."""
        kind = next((CLASSES[start] for start in CLASSES if operation.startswith(start)), None)
        fields: dict[str, Any] = {
            "api": APIS.get(server, "vim25"),
            "operation": operation,
            "operation_class": kind or OperationClass.UPDATE,
            "target": target,
            "related": tuple(related),
            "outcome": Outcome.SUCCESS,
            "token": self._users.get((client, server), ""),
            **self.span(at, lasts),
            **more,
        }
        self.say(client, server, Call(**fields), port)

    def task(self, client: str, server: str, task: str, **more: Any) -> list[Record]:
        """The client is told that a task has ended."""
        fields: dict[str, Any] = {"outcome": Outcome.SUCCESS, **self.span(), **more}
        return self.say(client, server, TaskChanged(task=task, **fields))

    def object(self, client: str, server: str, target: Target, **more: Any) -> None:
        fields: dict[str, Any] = {"target": target, **self.span(), **more}
        self.say(client, server, ObjectSeen(**fields))

    def find(self, operation: str, server: str = "", number: int = 0) -> Record:
        """The last word on the first action of this name, at the server if said."""
        found = [
            each
            for each in self.records
            if each.kind in ("action", "login", "logout")
            and each.op is not None
            and each.op.name == operation
            and server in ("", each.to.ip)
        ]
        found.sort(key=lambda each: each.ts)
        record = found[number]
        return next((each for each in reversed(self.records) if each.amends == record.id), record)

    def path(self, operation: str, server: str = "", number: int = 0) -> str:
        chain = self.find(operation, server, number).chain
        assert chain is not None
        return chain.path

    def cause(self, operation: str, server: str = "", number: int = 0) -> tuple[str, float]:
        hop = self.find(operation, server, number).hop
        assert hop is not None
        return hop.cause, hop.confidence

    def candidates(self, operation: str, server: str = "", number: int = 0) -> dict[str, float]:
        """User -> probability."""
        hop = self.find(operation, server, number).hop
        assert hop is not None
        return {each.user: each.confidence for each in hop.candidates}

    def evidence(self, operation: str, server: str = "", number: int = 0) -> list[str]:
        hop = self.find(operation, server, number).hop
        assert hop is not None
        return [each.key for each in hop.evidence]

    def alerts(self) -> list[str]:
        return [each.reason for each in self.records if each.kind == "alert"]

    def amendments(self) -> list[str]:
        return [each.reason for each in self.records if each.kind == "chain"]


def flow_of(client: str, server: str, port: int = 40000) -> Flow:
    return Flow(6, client, port, server, 443, -1, "", "1:id", f"C{client}-{port}", 0)
