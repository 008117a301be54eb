"""Google SecOps' Unified Data Model, as its ingestion takes it: camelCase.

`principal` is who asked, each service in between is an `intermediary`, `target` is the account and
the server at the end. Where nobody is named, the candidates are in `about`.
"""

from collections.abc import Mapping
from typing import Any

from exporters.formats.additional import additional
from exporters.formats.format import Document, Format
from exporters.formats.moment import iso
from exporters.formats.ocsf_parts import dropped
from exporters.formats.reading import (
    PRODUCT,
    UNKNOWN,
    VENDOR,
    Reading,
    domain_of,
    ip_version,
    read,
)
from exporters.formats.text import cut_bytes
from exporters.transport import Tree

DESCRIPTION_MAX, EVENT_TYPE_MAX, ID_MAX, VERSION_MAX = 1024, 64, 256, 32  # bytes
_EVENT_TYPES = {
    "create": "USER_RESOURCE_CREATION",
    "delete": "USER_RESOURCE_DELETION",
    "update": "USER_RESOURCE_UPDATE_CONTENT",
    "power": "USER_RESOURCE_UPDATE_CONTENT",
    "login": "USER_LOGIN",
    "logout": "USER_LOGOUT",
}
_MECHANISMS = {
    "password": "USERNAME_PASSWORD",
    "basic": "USERNAME_PASSWORD",
    "name_password": "USERNAME_PASSWORD",
    "none": "MECHANISM_UNSPECIFIED",
}
_RESOURCES = {
    "virtualmachine": "VIRTUAL_MACHINE",
    "vm": "VIRTUAL_MACHINE",
    "domain": "VIRTUAL_MACHINE",
    "virtualdisk": "DISK",
    "container": "CONTAINER",
    "user": "USER",
    "network": "VPC_NETWORK",
}
_SEVERITIES = {8: "HIGH", 5: "LOW"}
_CONFIDENCES = ((0.95, "HIGH_CONFIDENCE"), (0.7, "MEDIUM_CONFIDENCE"), (0.0, "LOW_CONFIDENCE"))
_IP_PROTOCOLS = {"tcp": "TCP", "udp": "UDP"}

_ADDITIONAL = """
    kind hopChain attribution confidence candidates users chainId hopIndex parentId state evidence
    operation operationClass operationId api method services forwardedFor flow tls visibility amends
    guestUser task reason gapBytes process extra
"""


def render(record: Tree) -> Document:
    it = read(record)
    every = additional(it)
    document = {
        "metadata": _metadata(it),
        "principal": _principal(it),
        "intermediary": _intermediaries(it),
        "target": _target(it),
        "observer": {
            "hostname": it.part("sensor").get("id"),
            "application": PRODUCT,
        },
        "about": [
            {"user": {"userid": each.get("user")}} for each in it.candidates if each.get("user")
        ],
        "network": _network(it),
        "securityResult": [_security_result(it)],
        "extensions": {"auth": _auth(it)} if it.operation_class == "login" else None,
        "additional": {name: every[name] for name in _ADDITIONAL.split()},
    }
    return dropped(document)


def _metadata(it: Reading) -> Document:
    return {
        "eventTimestamp": iso(it.start_ns),
        "eventType": _event_type(it),
        "vendorName": VENDOR,
        "productName": PRODUCT,
        "productVersion": cut_bytes(str(it.part("sensor").get("version", "")), VERSION_MAX),
        "productEventType": cut_bytes(it.event_class, EVENT_TYPE_MAX),
        "productLogId": cut_bytes(it.id, ID_MAX),
        "description": cut_bytes(it.sentence, DESCRIPTION_MAX),
    }


def _event_type(it: Reading) -> str:
    if it.kind in ("alert", "gap") or not it.operation_class:
        return "GENERIC_EVENT"
    return _EVENT_TYPES.get(it.operation_class, "USER_RESOURCE_ACCESS")


def _place(place: Mapping[str, Any]) -> Document:
    address = str(place.get("ip", ""))
    return {
        "ip": [address] if ip_version(address) else None,
        "port": place.get("port"),
        "hostname": place.get("host") or (None if ip_version(address) else address),
    }


def _user(name: str) -> Document:
    if not name:
        return {}
    return {"user": {"userid": name}, "administrativeDomain": domain_of(name)}


def _principal(it: Reading) -> Document:
    """Where there are services in between, the client that was seen is the last of them."""
    return {
        **_user(it.asker),
        "application": it.head.service if it.is_delegated else it.part("from").get("service"),
        **({} if it.middle else _place(it.part("from"))),
    }


def _intermediaries(it: Reading) -> list[Document]:
    nouns = [{"application": level.service or UNKNOWN, **_user(level.user)} for level in it.middle]
    if nouns:
        nouns[-1] |= _place(it.part("from"))
    return nouns


def _target(it: Reading) -> Document:
    target = it.part("target")
    kind = str(target.get("type", ""))
    resource = {
        "name": target.get("name") or target.get("id"),
        "productObjectId": target.get("id"),
        "resourceSubtype": kind,
        "resourceType": _RESOURCES.get(kind.lower()),
    }
    return {
        **_user(it.account),
        "application": it.part("to").get("service"),
        "resource": resource,
        "url": it.request[1].partition("?")[0],
        **_place(it.part("to")),
    }


def _network(it: Reading) -> Document:
    flow, tls = it.part("flow"), it.part("tls")
    return {
        "communityId": flow.get("community_id"),
        "sessionId": it.part("to").get("session"),
        "parentSessionId": it.part("from").get("session"),
        "ipProtocol": _IP_PROTOCOLS.get(str(flow.get("proto", "")).lower()),
        "http": {
            "method": it.request[0],
            "responseCode": it.status or None,
            "userAgent": it.part("client").get("user_agent"),
        },
        "tls": {
            "version": tls.get("version"),
            "cipher": tls.get("cipher"),
            "client": {"serverName": tls.get("sni"), "ja3": tls.get("ja3")},
            "server": {"ja3s": tls.get("ja3s")},
        },
    }


def _security_result(it: Reading) -> Document:
    confidence = next(name for least, name in _CONFIDENCES if it.confidence >= least)
    is_failure = it.text("outcome") == "failure"
    return {
        "ruleName": it.text("reason") if it.kind == "alert" else None,
        "summary": f"attribution {it.attribution}",
        "description": it.path,
        "category": ["AUTH_VIOLATION"] if is_failure and it.operation_class == "login" else None,
        "action": _action(it.text("outcome")),
        "actionDetails": it.trouble,
        "severity": _SEVERITIES.get(it.severity, "INFORMATIONAL"),
        "confidence": confidence if it.part("hop") else None,
        "confidenceDetails": f"{it.confidence:g}" if it.part("hop") else None,
    }


def _action(outcome: str) -> list[str] | None:
    actions = {"success": ["ALLOW"], "failure": ["FAIL"]}
    return actions.get(outcome)


def _auth(it: Reading) -> Document:
    op = it.part("op")
    method = str(op.get("method", ""))
    return {
        "type": "SSO" if method == "saml" else "MACHINE",
        "mechanism": [_MECHANISMS.get(method, "MECHANISM_OTHER")] if method else None,
        "authDetails": f"{op.get('api', '')} {method} {it.attribution}".strip(),
    }


FORMAT = Format("udm", render)
