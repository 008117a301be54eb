"""Microsoft Sentinel's ASIM: Authentication 0.1.4 for logins, AuditEvent 0.1.2 for actions.

An Actor, by an ActingApp, from Src, authenticates as a TargetUser to a TargetApp: as a chain says
it. Alerts are AlertEvent 0.1, gaps and sealed flows NetworkSession 0.2.6.
"""

from collections.abc import Iterator
from typing import Any

from exporters.formats.additional import additional
from exporters.formats.format import Document, Format
from exporters.formats.moment import iso
from exporters.formats.ocsf_parts import dropped
from exporters.formats.reading import PRODUCT, UNKNOWN, VENDOR, Reading, ip_version, read
from exporters.transport import Tree

_RESULTS = {"success": "Success", "failure": "Failure"}
_SEVERITIES = {8: "High", 5: "Low"}
_METHODS = {
    "password": "Username & Password",
    "basic": "Username & Password",
    "name_password": "Username & Password",
    "certificate": "PKI",
}
_AUDIT_TYPES = {
    "create": "Create",
    "read": "Read",
    "update": "Set",
    "delete": "Delete",
    "guest": "Execute",
    "console": "Read",
    "disk": "Read",
}
_TURNED = {"on": "Start", "off": "Stop"}
_BAD_PASSWORD = ("invalidlogin", "authentication failed", "login incorrect", "invalidguestlogin")

_ADDITIONAL = """
    hopChain account attribution confidence candidates users chainId hopIndex parentId state
    evidence operationId method api reason services serverSession forwardedFor flow visibility
    amends guestUser task gapBytes tls process extra
"""


def render(record: Tree) -> Document:
    it = read(record)
    document: Document = {}
    schema = _SCHEMAS.get(_schema(it), _network)
    for block in (_common, _people, _ends, schema, _rest):
        document |= dict(block(it))
    return dropped(document)


Fields = Iterator[tuple[str, Any]]


def _schema(it: Reading) -> str:
    if it.kind == "alert":
        return "alert"
    if it.operation_class in ("login", "logout"):
        return "authentication"
    return "audit" if it.operation_class else "network"


def _common(it: Reading) -> Fields:
    sensor = it.part("sensor")
    yield "TimeGenerated", iso(it.start_ns)
    yield "EventCount", 1
    yield "EventStartTime", iso(it.start_ns)
    yield "EventEndTime", iso(it.end_ns)
    yield "EventResult", _RESULTS.get(it.text("outcome"), "NA")
    yield "EventOriginalResultDetails", it.trouble
    yield "EventProduct", PRODUCT
    yield "EventProductVersion", sensor.get("version")
    yield "EventVendor", VENDOR
    yield "EventSeverity", _SEVERITIES.get(it.severity, "Informational")
    yield "EventOriginalUid", it.id
    yield "EventOriginalType", it.event_class
    yield "EventMessage", it.sentence
    yield "Dvc", sensor.get("id") or PRODUCT
    yield "DvcHostname", sensor.get("id")
    yield "DvcInboundInterface", sensor.get("iface")


def _people(it: Reading) -> Fields:
    """The actor, if it is somebody else than the account that was used, or alone in an audit."""
    actor_session = it.part("from" if it.is_delegated else "to").get("session")
    if it.is_delegated or _schema(it) == "audit":
        yield from _user("Actor", it.asker)
        yield "ActorSessionId", actor_session
    if it.is_delegated:
        acting = [level.service for level in it.middle] or [it.head.service]
        yield "ActingAppName", ",".join(each or UNKNOWN for each in acting)
        yield "ActingAppType", "Service"
    yield "TargetAppName", it.part("to").get("service")
    yield "TargetAppType", "Service"
    if _schema(it) == "authentication":
        yield from _user("Target", it.account)
        yield "TargetUserType", "Service" if it.account and it.is_delegated else None
        yield "TargetSessionId", it.part("to").get("session")


def _user(side: str, name: str) -> Fields:
    if name:
        windows, upn = "\\" in name, "@" in name
        yield f"{side}Username", name
        yield f"{side}UsernameType", "Windows" if windows else "UPN" if upn else "Simple"


def _ends(it: Reading) -> Fields:
    server = "Dst" if _schema(it) == "network" else "Target"
    for side, end in (("Src", "from"), (server, "to")):
        place = it.part(end)
        address = str(place.get("ip", ""))
        yield f"{side}IpAddr", address if ip_version(address) else None
        yield f"{side}PortNumber", place.get("port")
        yield f"{side}Hostname", place.get("host")
    yield "HttpUserAgent", it.part("client").get("user_agent")


def _authentication(it: Reading) -> Fields:
    method = str(it.part("op").get("method", ""))
    yield "EventSchema", "Authentication"
    yield "EventSchemaVersion", "0.1.4"
    if it.operation_class == "logout":
        yield "EventType", "Logoff"
    elif it.is_delegated or method == "impersonation":
        yield "EventType", "Elevate"
        yield "EventSubType", "AssumeRole"
    else:
        yield "EventType", "Logon"
        yield "EventSubType", "Remote"
    if it.text("outcome") == "failure":
        fault = it.text("fault").lower()
        is_password = any(word in fault for word in _BAD_PASSWORD)
        yield "EventResultDetails", "No such user or password" if is_password else "Other"
    if method:
        yield "LogonMethod", _METHODS.get(method, "Other")
        yield "LogonProtocol", it.part("op").get("api")


def _audit(it: Reading) -> Fields:
    target, extra = it.part("target"), it.part("extra")
    yield "EventSchema", "AuditEvent"
    yield "EventSchemaVersion", "0.1.2"
    yield "EventType", _TURNED.get(it.turned) or _AUDIT_TYPES.get(it.operation_class, "Other")
    yield "EventSubType", it.operation_class
    yield "Operation", it.operation
    yield (
        "Object",
        target.get("name") or target.get("id") or it.part("to").get("service") or UNKNOWN,
    )
    yield "ObjectId", target.get("id")
    yield "ObjectType", "Cloud Resource"
    yield "OriginalObjectType", target.get("type")
    yield "NewValue", extra.get("result")


def _alert(it: Reading) -> Fields:
    yield "EventSchema", "AlertEvent"
    yield "EventSchemaVersion", "0.1"
    yield "EventType", "Alert"
    yield "EventSubType", "Suspicious Activity"
    yield "AlertId", it.id
    yield "AlertName", it.text("reason")
    yield "AlertDescription", it.part("extra").get("value")
    yield "Username", it.asker or it.account
    yield "IpAddr", next(iter(it.addresses), None)


def _network(it: Reading) -> Fields:
    flow = it.part("flow")
    yield "EventSchema", "NetworkSession"
    yield "EventSchemaVersion", "0.2.6"
    yield "EventType", "NetworkSession"
    yield "NetworkProtocol", str(flow.get("proto", "")).upper()
    yield "NetworkSessionId", flow.get("community_id")


def _rest(it: Reading) -> Fields:
    every = additional(it)
    yield (
        "AdditionalFields",
        {name[0].upper() + name[1:]: every[name] for name in _ADDITIONAL.split()},
    )


_SCHEMAS = {"authentication": _authentication, "audit": _audit, "alert": _alert}
FORMAT = Format("asim", render)
