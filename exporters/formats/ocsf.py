"""OCSF 1.8.0: logins are Authentication, actions API Activity, alerts Detection Finding.

An amended chain of delegation is an Account Switch; what only the network shows is Network
Activity. OCSF has no attribute for a chain: links are `metadata.correlation_uid` and `trace`, all
of the rest is in `unmapped.hop`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from exporters.formats.format import Document, Format
from exporters.formats.moment import milliseconds
from exporters.formats.ocsf_parts import (
    actor,
    api,
    connection,
    dropped,
    endpoint,
    http,
    observables,
    resources,
    session,
    tls,
    traffic,
    unmapped,
    user,
)
from exporters.formats.reading import PRODUCT, UNKNOWN, VENDOR, Reading, read
from exporters.transport import Tree

VERSION = "1.8.0"
LOGON, LOGOFF, ACCOUNT_SWITCH = 1, 2, 7
IMPERSONATE = 2


class _Class(NamedTuple):
    uid: int
    name: str
    category: str
    activities: Mapping[int, str]


AUTHENTICATION = _Class(
    3002,
    "Authentication",
    "Identity & Access Management",
    {LOGON: "Logon", LOGOFF: "Logoff", ACCOUNT_SWITCH: "Account Switch"},
)
API_ACTIVITY = _Class(
    6003,
    "API Activity",
    "Application Activity",
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 99: "Other"},
)
NETWORK_ACTIVITY = _Class(4001, "Network Activity", "Network Activity", {6: "Traffic"})
DETECTION_FINDING = _Class(2004, "Detection Finding", "Findings", {1: "Create"})
_API_ACTIVITIES = {"create": 1, "read": 2, "update": 3, "power": 3, "delete": 4}
_AUTH_PROTOCOLS = {"saml": (5, "SAML"), "basic": (11, "Basic Authentication")}
_STATUS = {"success": (1, "Success"), "failure": (2, "Failure")}
_SEVERITY = {8: (4, "High"), 5: (2, "Low")}


def render(record: Tree) -> Document:
    it = read(record)
    kind, activity = _classified(it)
    severity_id, severity = _SEVERITY.get(it.severity, (1, "Informational"))
    activity_name = kind.activities[activity]
    return dropped(
        {
            "activity_id": activity,
            "activity_name": activity_name,
            "category_uid": kind.uid // 1000,
            "category_name": kind.category,
            "class_uid": kind.uid,
            "class_name": kind.name,
            "type_uid": kind.uid * 100 + activity,
            "type_name": f"{kind.name}: {activity_name}",
            "severity_id": severity_id,
            "severity": severity,
            "time": milliseconds(it.start_ns),
            "start_time": milliseconds(it.start_ns),
            "end_time": milliseconds(it.end_ns),
            "duration": milliseconds(it.duration_ns),
            "message": it.sentence,
            "metadata": _metadata(it, kind),
            "observables": observables(it),
            "unmapped": unmapped(it),
            **_status(it, kind),
            **_BLOCKS[kind.uid](it),
        }
    )


def _classified(it: Reading) -> tuple[_Class, int]:
    """The class and the activity."""
    if it.kind == "alert":
        return DETECTION_FINDING, 1
    if it.kind == "gap" or not it.operation_class:
        return NETWORK_ACTIVITY, 6
    is_switch = it.part("op").get("method") == "impersonation"
    if is_switch or (it.kind == "chain" and it.delegate):
        return AUTHENTICATION, ACCOUNT_SWITCH
    if it.kind == "login" or (it.kind == "chain" and it.operation_class == "login"):
        return AUTHENTICATION, LOGON
    if it.kind == "logout" or (it.kind == "chain" and it.operation_class == "logout"):
        return AUTHENTICATION, LOGOFF
    return API_ACTIVITY, _API_ACTIVITIES.get(it.operation_class, 99)


def _metadata(it: Reading, kind: _Class) -> Document:
    return dropped(
        {
            "version": VERSION,
            "product": {
                "name": PRODUCT,
                "vendor_name": VENDOR,
                "version": it.part("sensor").get("version"),
                "uid": it.part("sensor").get("id"),
            },
            "profiles": ["trace"] if kind is API_ACTIVITY else None,
            "uid": it.id,
            "correlation_uid": it.part("chain").get("id"),
            "original_event_uid": it.text("amends"),
            "event_code": it.event_class,
            "log_name": "hoptap.hop",
            "sequence": it.part("integrity").get("seq"),
        }
    )


def _status(it: Reading, kind: _Class) -> Document:
    if kind is DETECTION_FINDING:
        return {"status_id": 1, "status": "New"}
    status_id, status = _STATUS.get(it.text("outcome"), (0, "Unknown"))
    return {
        "status_id": status_id,
        "status": status,
        "status_detail": it.trouble,
        "status_code": str(it.status or ""),
    }


def _authentication(it: Reading) -> Document:
    op, visibility = it.part("op"), it.text("visibility")
    activity = _classified(it)[1]
    is_login = it.operation_class == "login"
    block: Document = {
        "user": user(it.account, is_delegate=it.is_delegated),
        "actor": actor(it) if it.is_delegated else None,
        "session": session(it.part("to").get("session")),
        "service": {"name": it.part("to").get("service")},
        "src_endpoint": endpoint(it, "from"),
        "dst_endpoint": endpoint(it, "to"),
        "http_request": http(it),
        "is_remote": True,
        "is_cleartext": visibility == "clear" if visibility else None,
    }
    if activity == ACCOUNT_SWITCH:
        block |= {"account_switch_type_id": IMPERSONATE, "account_switch_type": "Impersonate"}
    method = str(op.get("method", ""))
    if is_login and method:
        other = 99, f"{op.get('api', '')} {method}".strip()
        protocol_id, protocol = _AUTH_PROTOCOLS.get(method, other)
        block |= {"auth_protocol_id": protocol_id, "auth_protocol": protocol}
        block |= {"logon_type_id": 3, "logon_type": "Network"}
    return block


def _api_activity(it: Reading) -> Document:
    start, end = milliseconds(it.start_ns), milliseconds(it.end_ns)
    span = {
        "uid": it.id or UNKNOWN,
        "parent_uid": it.part("hop").get("parent_id"),
        "operation": it.operation,
        "service": {"name": it.part("to").get("service")},
        "start_time": start,
        "end_time": end,
    }
    return {
        "actor": actor(it),
        "api": api(it),
        "src_endpoint": endpoint(it, "from"),
        "dst_endpoint": endpoint(it, "to"),
        "http_request": http(it),
        "http_response": {"code": it.status} if it.status else None,
        "resources": resources(it),
        "trace": {"uid": it.part("chain").get("id") or it.id or UNKNOWN, "span": span},
    }


def _network_activity(it: Reading) -> Document:
    return {
        "src_endpoint": endpoint(it, "from"),
        "dst_endpoint": endpoint(it, "to"),
        "connection_info": connection(it),
        "traffic": traffic(it),
        **tls(it),
    }


def _finding(it: Reading) -> Document:
    reason, extra = it.text("reason"), it.part("extra")
    related = str(extra.get("record", ""))
    return {
        "is_alert": True,
        "confidence_score": round(100 * it.confidence) if it.part("hop") else None,
        "finding_info": {
            "uid": it.id or UNKNOWN,
            "title": reason,
            "desc": extra.get("value"),
            "analytic": {"name": reason, "uid": reason, "type_id": 1, "type": "Rule"},
            "created_time": milliseconds(it.start_ns),
            "related_events": [{"uid": related}] if related and related != it.id else None,
        },
        "evidences": [
            {
                "actor": actor(it),
                "api": api(it) if it.operation else None,
                "src_endpoint": endpoint(it, "from"),
                "dst_endpoint": endpoint(it, "to"),
                "connection_info": connection(it),
                "user": user(it.account, is_delegate=it.is_delegated) if it.account else None,
            }
        ],
        "resources": resources(it),
    }


_BLOCKS = {
    AUTHENTICATION.uid: _authentication,
    API_ACTIVITY.uid: _api_activity,
    NETWORK_ACTIVITY.uid: _network_activity,
    DETECTION_FINDING.uid: _finding,
}
FORMAT = Format("ocsf", render)
