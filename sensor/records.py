"""What leaves the sensor: schema hop/1. A record is immutable; absent fields are unknown, never a guess."""

import os
import time
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

SCHEMA = "hop/1"


@dataclass(frozen=True, slots=True)
class Evidence:
    key: str  # operation_id, ticket, task, session, target, nesting, ...
    value: str = ""
    grade: str = ""  # proved | asserted | claimed | inferred


@dataclass(frozen=True, slots=True)
class Candidate:
    id: str
    user: str
    path: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Hop:
    index: int  # 0 at the head of the chain
    count: int
    service: str
    user: str
    cause: str  # explicit | correlated | ambiguous | none
    confidence: float
    parent_id: str = ""  # record id of the action one level up
    candidates: tuple[Candidate, ...] = ()
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    id: str
    path: str  # "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    users: tuple[str, ...]
    services: tuple[str, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    ip: str = ""
    port: int = 0
    service: str = ""
    user: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    api: str
    cls: str  # written as "class"
    id: str = ""
    method: str = ""  # of a login: password, saml, clone, ...


@dataclass(frozen=True, slots=True)
class ObjectRef:
    type: str = ""
    id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class FlowRef:
    proto: str = ""
    community_id: str = ""
    uid: str = ""
    vlan: int = -1
    tunnel: str = ""


@dataclass(frozen=True, slots=True)
class Client:
    user_agent: str = ""
    forwarded_for: str = ""


@dataclass(frozen=True, slots=True)
class SensorRef:
    id: str = ""
    iface: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    kind: str  # login | logout | action | chain | alert | gap
    ts: int
    ts_end: int = 0
    id: str = ""
    visibility: str = "clear"
    chain: Chain | None = None
    hop: Hop | None = None
    source: Endpoint = Endpoint()  # written as "from"
    to: Endpoint = Endpoint()
    op: Operation | None = None
    target: ObjectRef = ObjectRef()
    outcome: str = ""
    fault: str = ""
    task: str = ""
    guest_user: str = ""
    amends: str = ""  # id of the record that this one amends
    reason: str = ""  # of an alert, a gap or an amendment
    gap_bytes: int = 0
    flow: FlowRef = FlowRef()
    client: Client = Client()
    sensor: SensorRef = SensorRef()
    extra: dict[str, str] = field(default_factory=dict)


_WIRE_NAMES = {"cls": "class", "source": "from"}
_UNKNOWN: tuple[object, ...] = ("", None, (), -1)
_KEEP_ZERO = {"index", "confidence", "ts"}


def as_dict(record: Record) -> dict[str, Any]:
    """The record as nested dicts in schema order; unknown fields are absent."""
    return {"schema": SCHEMA, **_plain(record)}


def _plain(value: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for each in fields(value):
        item = getattr(value, each.name)
        if hasattr(item, "__dataclass_fields__"):
            item = _plain(item)
        elif isinstance(item, tuple):
            item = [_plain(part) if hasattr(part, "__dataclass_fields__") else part for part in item]
        if _known(each.name, item):
            plain[_WIRE_NAMES.get(each.name, each.name)] = item
    return plain


def _known(name: str, item: object) -> bool:
    if isinstance(item, (dict, list)):
        return bool(item)
    if item == 0 and not isinstance(item, bool):
        return name in _KEEP_ZERO
    return item not in _UNKNOWN


def new_id(time_ns: int | None = None) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) of this packet time, or of now."""
    milliseconds = (time.time_ns() if time_ns is None else time_ns) // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def escape_uid(uid: str) -> str:
    """A UID inside a path: backslash and colon are escaped with a backslash."""
    return uid.replace("\\", "\\\\").replace(":", "\\:")


def path_of(hops: list[tuple[str, str]]) -> str:
    """(service, uid) pairs, head first -> "SERVICE:UID:SERVICE:UID"; an unseen one is "?"."""
    return ":".join(f"{service or '?'}:{escape_uid(uid) if uid else '?'}" for service, uid in hops)
