"""Objects that OCSF events are made of."""

from collections.abc import Mapping
from typing import Any

from exporters.formats.format import Document
from exporters.formats.reading import UNKNOWN, Reading, domain_of, ip_version
from exporters.formats.text import cut

UNKNOWN_USER, PERSON, SERVICE_ACCOUNT = 0, 1, 4
_USER_TYPES = {UNKNOWN_USER: "Unknown", PERSON: "User", SERVICE_ACCOUNT: "Service"}
_USER_NAME, _ADDRESS = (4, "User Name"), (2, "IP Address")
_DENIALS = ("nopermission", "unauthorized", "forbidden", "access_denied", "notauthenticated")
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
# Blocks of the record that no attribute holds whole.
_UNMAPPED = ("flow", "tls", "extra", "op", "client", "process", "sensor", "integrity")


def dropped(document: Mapping[str, Any]) -> Document:
    """Without what is unknown, at any depth."""
    out: Document = {}
    for name, value in document.items():
        if isinstance(value, dict):
            value = dropped(value)
        elif isinstance(value, list):
            value = [dropped(each) if isinstance(each, dict) else each for each in value]
        if value or value == 0:
            out[name] = value
    return out


def user(name: str, is_delegate: bool = False, is_asker: bool = False) -> Document:
    """An account; one that was not seen is "?", as in a path, where the class needs a user."""
    kind = SERVICE_ACCOUNT if is_delegate and name else PERSON if is_asker else UNKNOWN_USER
    return {
        "name": name or UNKNOWN,
        "domain": domain_of(name),
        "type_id": kind,
        "type": _USER_TYPES[kind],
    }


def actor(it: Reading) -> Document:
    """Who asked, through which services, in which session."""
    apps = [level.service for level in it.middle] or [it.part("from").get("service", "")]
    upstream = it.part("from" if it.is_delegated else "to").get("session")
    made = dropped(
        {
            "user": user(it.asker, is_asker=it.is_delegated) if it.asker else None,
            "app_name": ",".join(each or UNKNOWN for each in apps if each or len(apps) > 1),
            "session": session(upstream),
            "authorizations": _authorizations(it),
        }
    )
    named = made.keys() - {"authorizations"}
    return made if named else {**made, "app_name": UNKNOWN}


def _authorizations(it: Reading) -> list[Document]:
    fault = it.text("fault").replace(" ", "").lower()
    if it.text("outcome") == "success":
        return [{"decision": "Allowed"}]
    is_denied = it.status in (401, 403) or any(word in fault for word in _DENIALS)
    return [{"decision": "Denied"}] if is_denied else []


def session(name: object) -> Document | None:
    return {"uid": name} if name else None


def endpoint(it: Reading, side: str) -> Document:
    place = it.part(side)
    address = str(place.get("ip", ""))
    made = dropped(
        {
            "ip": address if ip_version(address) else None,
            "name": None if ip_version(address) else address,
            "port": place.get("port"),
            "hostname": place.get("host"),
            "svc_name": place.get("service"),
        }
    )
    return made if made.keys() - {"port"} else {**made, "name": UNKNOWN}


def api(it: Reading) -> Document:
    op = it.part("op")
    operation_id = str(op.get("id", ""))
    return {
        "operation": it.operation or UNKNOWN,
        "service": {"name": op.get("api")},
        "request": {"uid": operation_id} if operation_id else None,
    }


def http(it: Reading) -> Document:
    client, (method, path) = it.part("client"), it.request
    forwarded = [each for each in it.addresses if each in str(client.get("forwarded_for", ""))]
    return {
        "user_agent": client.get("user_agent"),
        "http_method": method,
        "url": {"path": path.partition("?")[0]} if path else None,
        "x_forwarded_for": forwarded,
    }


def resources(it: Reading) -> list[Document]:
    target = it.part("target")
    if not (target.get("id") or target.get("name")):
        return []
    return [
        {
            "uid": target.get("id"),
            "name": target.get("name"),
            "type": target.get("type"),
            "role_id": 1,
            "role": "Target",
        }
    ]


def connection(it: Reading) -> Document:
    flow = it.part("flow")
    protocol = str(flow.get("proto", "")).lower()
    version = ip_version(str(it.part("from").get("ip", "")))
    return {
        "direction_id": 0,
        "direction": "Unknown",  # which side is inside, the sensor is not told
        "protocol_name": protocol,
        "protocol_num": _NUMBERS.get(protocol),
        "protocol_ver_id": version or None,
        "community_uid": flow.get("community_id"),
        "uid": flow.get("uid"),
    }


def traffic(it: Reading) -> Document | None:
    missed = it.tree.get("gap_bytes")
    return {"bytes_missed": missed} if missed else None


def tls(it: Reading) -> Document:
    seen = it.part("tls")
    if not seen.get("version"):
        return {}
    ja4 = [
        {"type_id": kind, "type": name, "value": seen.get(key)}
        for kind, name, key in ((1, "JA4", "ja4"), (2, "JA4Server", "ja4s"))
        if seen.get(key)
    ]
    return {
        "tls": {
            "version": seen["version"],
            "cipher": seen.get("cipher"),
            "sni": seen.get("sni"),
            "ja3_hash": _md5(seen.get("ja3")),
            "ja3s_hash": _md5(seen.get("ja3s")),
        },
        "ja4_fingerprint_list": ja4,
    }


def _md5(value: object) -> Document | None:
    return {"algorithm_id": 1, "algorithm": "MD5", "value": value} if value else None


def observables(it: Reading) -> list[Document]:
    """Every account and every address, whatever part it plays: what people search for."""
    rows = [(_USER_NAME, name) for name in it.users]
    rows += [(_ADDRESS, address) for address in it.addresses]
    return [
        {"name": type_name.lower(), "type_id": type_id, "type": type_name, "value": value}
        for (type_id, type_name), value in rows
    ]


def unmapped(it: Reading) -> Document:
    chain, hop = it.part("chain"), it.part("hop")
    block: Document = {
        "kind": it.kind,
        "path": it.path,
        "attribution": it.attribution,
        "confidence": it.confidence if hop else None,
        "chain": {name: value for name, value in chain.items() if name != "path"},
        "candidates": [{**each, "path": cut(str(each.get("path", "")))} for each in it.candidates],
        "from": {name: it.part("from").get(name) for name in ("service", "user", "session")},
        "to": {name: it.part("to").get(name) for name in ("service", "user", "session")},
    }
    block |= {name: hop.get(name) for name in ("index", "count", "parent_id", "state", "evidence")}
    block |= {name: it.text(name) for name in ("visibility", "task", "guest_user", "reason")}
    block |= {name: it.part(name) for name in _UNMAPPED}
    return {"hop": block}
