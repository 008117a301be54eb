"""What leaves the sensor: schema hop/1. Records are immutable; an absent field is unknown."""

import json
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

import msgpack

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
    state: str = ""  # provisional: an amendment with the final word follows


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
    host: str = ""  # name of the hypervisor there


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
class Tls:
    """The session that a flow carries, as far as it was seen."""

    version: str = ""  # "TLS 1.3"
    cipher: str = ""  # as the IANA registry names it
    sni: str = ""
    alpn: str = ""
    ja3: str = ""
    ja3s: str = ""
    ja4: str = ""
    ja4s: str = ""
    resumed: bool = False
    early_data: bool = False
    subject: str = ""  # of the server's certificate
    issuer: str = ""
    fingerprint: str = ""
    client_subject: str = ""
    client_issuer: str = ""
    client_fingerprint: str = ""
    key_source: str = ""  # keylog | dsb | rsa | ticket | tap
    reason: str = ""  # why not decrypted: no_key | late_key | unsupported | failed | unseen


@dataclass(frozen=True, slots=True)
class Client:
    user_agent: str = ""
    forwarded_for: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """In which a tap read what the record says."""

    name: str = ""  # as ps shows it
    pid: int = 0
    container: str = ""  # id, as its runtime names it; "": in none


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
    visibility: str = "clear"  # clear | decrypted | tapped | metadata
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
    tls: Tls | None = None
    client: Client = Client()
    process: Process | None = None
    sensor: SensorRef = SensorRef()
    extra: dict[str, str] = field(default_factory=dict)


# Written even when zero: zero is a statement there, elsewhere it means unknown.
_KEEP_ZERO = {"index", "confidence", "ts"}
_WIRE_NAMES = {"cls": "class", "source": "from"}

_Plain = Callable[[Any], Any]


def _flat(kind: type) -> _Plain:
    """Writer of a dataclass that holds texts and numbers only; {} when all of it is unknown."""
    names = [each.name for each in fields(kind)]
    wire_names = [_WIRE_NAMES.get(name, name) for name in names]
    values_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
    kept = [name in _KEEP_ZERO for name in names]
    if any(kept):
        rows = list(zip(wire_names, kept, strict=True))
        return lambda value: {
            name: item
            for (name, keep), item in zip(rows, values_of(value), strict=True)
            if item or keep
        }
    return lambda value: {
        name: item
        for name, item in zip(wire_names, values_of(value), strict=True)
        if item and item != -1
    }


_evidence = _flat(Evidence)
_candidate = _flat(Candidate)


def _hop(hop: Hop | None) -> dict[str, Any] | None:
    if hop is None:
        return None
    plain = {
        "index": hop.index,
        "count": hop.count,
        "service": hop.service,
        "user": hop.user,
        "parent_id": hop.parent_id,
        "cause": hop.cause,
        "confidence": hop.confidence,
        "candidates": [_candidate(each) for each in hop.candidates],
        "evidence": [_evidence(each) for each in hop.evidence],
        "state": hop.state,
    }
    return {name: item for name, item in plain.items() if item or name in _KEEP_ZERO}


def _chain(chain: Chain | None) -> dict[str, Any] | None:
    if chain is None:
        return None
    plain = {
        "id": chain.id,
        "path": chain.path,
        "users": list(chain.users),
        "services": list(chain.services),
        "depth": chain.depth,
    }
    return {name: item for name, item in plain.items() if item}


_endpoint = _flat(Endpoint)
_operation = _flat(Operation)
_tls = _flat(Tls)
_process = _flat(Process)
_WRITERS: dict[str, _Plain] = {
    "chain": _chain,
    "hop": _hop,
    "source": _endpoint,
    "to": _endpoint,
    "op": lambda op: None if op is None else _operation(op),
    "target": _flat(ObjectRef),
    "flow": _flat(FlowRef),
    "tls": lambda tls: None if tls is None else _tls(tls),
    "client": _flat(Client),
    "process": lambda process: None if process is None else _process(process),
    "sensor": _flat(SensorRef),
    "extra": dict,
}
_NAMES = [each.name for each in fields(Record)]
_ROWS = [(_WIRE_NAMES.get(name, name), _WRITERS.get(name)) for name in _NAMES]
_values_of: Callable[[Record], tuple[Any, ...]] = attrgetter(*_NAMES)


def as_dict(record: Record) -> dict[str, Any]:
    """The record as nested dicts in schema order; unknown fields are absent."""
    plain: dict[str, Any] = {"schema": SCHEMA}
    for (name, writer), item in zip(_ROWS, _values_of(record), strict=True):
        if writer is not None:
            item = writer(item)
        if item or name == "ts":
            plain[name] = item
    return plain


_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_ndjson(record: Record) -> bytes:
    """One line of JSON with its newline. A lone surrogate becomes its JSON escape."""
    return _encode_json(as_dict(record)).encode("utf-8", "backslashreplace") + b"\n"


def encode_msgpack(record: Record) -> bytes:
    """The same tree as msgpack. Text that is not UTF-8 is escaped as in JSON."""
    packed: bytes = msgpack.packb(as_dict(record), unicode_errors="backslashreplace")
    return packed


# Ids must differ, not be secret: a system call for each would cost more than all else of a record.
_random = random.Random(os.urandom(32))


def new_id(time_ns: int | None = None) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) of this packet time, or of now."""
    milliseconds = (time.time_ns() if time_ns is None else time_ns) // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | _random.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    text = f"{value & ~(0x3 << 62) | 0x2 << 62:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def escape_uid(uid: str) -> str:
    """A UID inside a path: backslash and colon are escaped with a backslash."""
    return uid.replace("\\", "\\\\").replace(":", "\\:")


def path_of(hops: Iterable[tuple[str, str]]) -> str:
    """(service, uid) pairs, head first -> "SERVICE:UID:SERVICE:UID"; an unseen one is "?"."""
    return ":".join(f"{service or '?'}:{escape_uid(uid) if uid else '?'}" for service, uid in hops)
