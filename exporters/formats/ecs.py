"""Elastic Common Schema 9.4. What it has no field for is in our own namespace, `hop.*`.

`user` is who asked, `user.effective` whose rights were used, `destination.user` the account that
the server saw. `source.user` stays empty: the schema wants it to equal `user`.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from exporters.formats.format import Document, Format
from exporters.formats.moment import iso
from exporters.formats.reading import (
    PRODUCT,
    VENDOR,
    Reading,
    domain_of,
    ip_version,
    is_private,
    is_pseudonym,
    read,
)
from exporters.formats.text import KEYWORD_MAX, cut
from exporters.transport import Tree

VERSION = "9.4.0"
_CATEGORIES: dict[str, tuple[list[str], list[str]]] = {
    "login": (["authentication", "session"], ["start"]),
    "logout": (["authentication", "session"], ["end"]),
    "chain": (["authentication"], ["info"]),
    "alert": (["intrusion_detection"], ["info"]),
    "gap": (["network"], ["info"]),
}
_ACTION_TYPES = {
    "create": "creation",
    "delete": "deletion",
    "update": "change",
    "power": "change",
}  # all others: access
_CONFIGURING = ("create", "delete", "update")
_ACTIONS = {"chain": "delegate-hop", "gap": "capture-gap"}
_VSPHERE = ("vim25", "vsphere-rest", "authd", "nfc", "sso-admin", "sts", "vix", "vcloud")
_NOT_HTTP = ("authd", "nfc", "libvirt", "vix")
_TEXTS = ("message",)  # not keywords: analysed, and of any length


def render(record: Tree) -> Document:
    """Nested, as the schema's fields are; what is unknown is absent."""
    it = read(record)
    document: Document = {}
    for block in (_base, _event, _users, _ends, _network, _tls, _http, _target, _observer, _hop):
        for field, value in block(it):
            if value or value == 0:
                above, name = _nesting(field)
                parent = document
                for each in above:
                    parent = parent.setdefault(each, {})
                is_short = isinstance(value, (int, float)) or field in _TEXTS
                parent[name] = value if is_short else _cut(value)
    return document


@lru_cache(maxsize=1024)
def _nesting(field: str) -> tuple[list[str], str]:
    *above, name = field.split(".")
    return above, name


def _cut(value: Any) -> Any:
    """Keywords that are too long would be stored, but found by nobody."""
    if isinstance(value, str):
        return value if len(value) <= KEYWORD_MAX // 2 else cut(value)
    if isinstance(value, dict):
        # Elasticsearch refuses a document with a NUL in a key of a flattened field.
        return {cut(name.replace("\0", "")): _cut(item) for name, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, (list, tuple)) else value


Fields = Iterator[tuple[str, Any]]


def _base(it: Reading) -> Fields:
    yield "@timestamp", iso(it.start_ns)
    yield "ecs.version", VERSION
    yield "message", it.sentence


def _event(it: Reading) -> Fields:
    category, kind = _classified(it)
    yield "event.kind", "alert" if it.kind == "alert" else "event"
    yield "event.category", category
    yield "event.type", kind
    reason = it.text("reason") if it.kind == "alert" else ""
    yield "event.action", _ACTIONS.get(it.kind) or reason or it.operation
    yield "event.dataset", "hoptap.hop"
    yield "event.module", "hoptap"
    yield "event.id", it.id
    yield "event.start", iso(it.start_ns)
    yield "event.end", iso(it.end_ns)
    yield "event.duration", it.duration_ns
    yield "event.outcome", it.text("outcome") or None
    yield "event.reason", it.trouble
    yield "event.sequence", it.part("integrity").get("seq")
    yield "event.hash", it.part("integrity").get("hash")
    yield "error.code", it.text("fault")
    yield "rule.name", reason


def _classified(it: Reading) -> tuple[list[str], list[str]]:
    if it.kind == "login" and it.text("outcome") == "failure":
        return ["authentication"], ["start"]  # no session began
    if it.kind in _CATEGORIES:
        return _CATEGORIES[it.kind]
    cls = it.operation_class
    category = ["api", "configuration"] if cls in _CONFIGURING else ["api"]
    return category, [_ACTION_TYPES.get(cls, "access")]


def _users(it: Reading) -> Fields:
    yield from _user("user", it.asker)
    yield from _user("user.effective", it.delegate)
    for side in ("destination", "server"):
        yield from _user(f"{side}.user", str(it.part("to").get("user", "")))
    yield "related.user", list(it.users)


def _user(prefix: str, user: str) -> Fields:
    """A pseudonym has a field of its own in the schema."""
    if is_pseudonym(user):
        yield f"{prefix}.hash", user
        return
    yield f"{prefix}.name", user
    yield f"{prefix}.id", user
    yield f"{prefix}.domain", domain_of(user)


def _ends(it: Reading) -> Fields:
    for end, sides in (("from", ("source", "client")), ("to", ("destination", "server"))):
        place = it.part(end)
        address = str(place.get("ip", ""))
        for side in sides:
            yield f"{side}.address", address
            yield f"{side}.ip", address if ip_version(address) else None
            yield f"{side}.port", place.get("port")
            yield f"{side}.domain", place.get("host")
    yield "related.ip", it.addresses
    yield "related.hosts", [it.part(end)["host"] for end in ("from", "to") if _host(it, end)]
    tls = it.part("tls")
    prints = [tls[key] for key in ("fingerprint", "client_fingerprint") if tls.get(key)]
    yield "related.hash", [*it.sessions, *prints]


def _host(it: Reading, end: str) -> bool:
    return bool(it.part(end).get("host"))


def _network(it: Reading) -> Fields:
    flow, api = it.part("flow"), str(it.part("op").get("api", ""))
    client, server = (str(it.part(end).get("ip", "")) for end in ("from", "to"))
    yield "network.transport", str(flow.get("proto", "")).lower()
    yield "network.application", api
    if api:
        yield "network.protocol", api if api in _NOT_HTTP else "http"
    version = ip_version(client)
    yield "network.type", f"ipv{version}" if version else None
    yield "network.direction", "internal" if is_private(client) and is_private(server) else None
    yield "network.community_id", flow.get("community_id")
    vlan = flow.get("vlan")
    yield "network.vlan.id", str(vlan) if vlan is not None else None
    yield "hop.flow.uid", flow.get("uid")
    yield "hop.flow.tunnel", flow.get("tunnel")
    yield "hop.gap.bytes", it.tree.get("gap_bytes")


def _tls(it: Reading) -> Fields:
    tls = it.part("tls")
    if not tls:
        return
    version = str(tls.get("version", ""))
    yield "tls.established", bool(version)
    yield "tls.resumed", bool(tls.get("resumed"))
    protocol, _, number = version.partition(" ")
    yield "tls.version_protocol", protocol.lower()
    yield "tls.version", number
    yield "tls.cipher", tls.get("cipher")
    yield "tls.next_protocol", str(tls.get("alpn", "")).lower()
    yield "tls.client.server_name", tls.get("sni")
    yield "tls.client.ja3", tls.get("ja3")
    yield "tls.server.ja3s", tls.get("ja3s")
    for side, prefix in (("server", ""), ("client", "client_")):
        yield f"tls.{side}.subject", tls.get(f"{prefix}subject")
        yield f"tls.{side}.issuer", tls.get(f"{prefix}issuer")
        yield f"tls.{side}.hash.sha256", str(tls.get(f"{prefix}fingerprint", "")).upper()
    for name in ("ja4", "ja4s", "key_source", "reason"):
        yield f"hop.tls.{name}", tls.get(name)


def _http(it: Reading) -> Fields:
    method, path = it.request
    yield "http.request.method", method
    yield "url.path", path.partition("?")[0]
    yield "http.response.status_code", it.status or None
    yield "user_agent.original", it.part("client").get("user_agent")
    yield "hop.forwarded_for", it.part("client").get("forwarded_for")


def _target(it: Reading) -> Fields:
    api = str(it.part("op").get("api", ""))
    yield "orchestrator.type", "vsphere" if api in _VSPHERE else api
    for key in ("type", "id", "name"):
        yield f"orchestrator.resource.{key}", it.part("target").get(key)
    for end in ("from", "to"):
        place = it.part(end)
        if place.get("service") == "VC":
            yield "orchestrator.cluster.name", place.get("host") or place.get("ip")


def _observer(it: Reading) -> Fields:
    sensor = it.part("sensor")
    yield "observer.type", "sensor"
    yield "observer.vendor", VENDOR
    yield "observer.product", PRODUCT
    yield "observer.version", sensor.get("version")
    yield "observer.hostname", sensor.get("id")
    yield "observer.ingress.interface.name", sensor.get("iface")
    process = it.part("process")
    yield "process.name", process.get("name")
    yield "process.pid", process.get("pid")
    yield "container.id", process.get("container")


def _hop(it: Reading) -> Fields:
    chain, hop, op = it.part("chain"), it.part("hop"), it.part("op")
    yield "hop.kind", it.kind
    yield "hop.path", it.path
    yield "hop.chain", [str(level) for level in it.levels]
    yield "hop.chain_id", chain.get("id")
    yield "hop.services", chain.get("services")
    yield "hop.depth", chain.get("depth")
    yield "hop.head.service", it.head.service
    for name in ("index", "count", "service", "parent_id", "confidence", "state"):
        yield f"hop.{name}", hop.get(name)
    yield "hop.attribution", it.attribution
    yield "hop.candidates", list(it.candidates)
    yield "hop.evidence", hop.get("evidence")
    yield "hop.operation", it.operation
    yield "hop.operation_class", it.operation_class
    yield "hop.method", op.get("method")
    yield from _operation_id(it, str(op.get("id", "")))
    yield "hop.session.hash", it.part("to").get("session")
    yield "hop.session.parent_hash", it.part("from").get("session")
    for end in ("from", "to"):
        yield f"hop.{end}.service", it.part(end).get("service")
        yield f"hop.{end}.user", it.part(end).get("user")
    for name in ("reason", "visibility", "task", "guest_user", "amends"):
        yield f"hop.{name}", it.text(name)
    yield "hop.extra", dict(it.part("extra"))


def _operation_id(it: Reading, operation_id: str) -> Fields:
    """An id that proves which calls belong together is a trace's; one of many, just an id."""
    if it.attribution == "explicit":
        yield "trace.id", operation_id
    else:
        yield "hop.op_id", operation_id


FORMAT = Format("ecs", render)
