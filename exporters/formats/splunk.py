"""An event for Splunk's HTTP Event Collector, in the words of the Common Information Model 8.5.

Of a login `user` is the account that was logged in, and `src_user` who did it by a delegate; of a
change `user` is who did it or, if that is not decided, the last account that was seen.
deploy/splunk has the add-on that tags these events.
"""

from collections.abc import Iterator
from typing import Any

from exporters.formats.format import Document, Format
from exporters.formats.ocsf_parts import dropped
from exporters.formats.reading import PRODUCT, Reading, domain_of, read
from exporters.transport import Tree

SOURCE, SOURCETYPE = "hoptap", "hoptap:hop"
_CHANGES = {
    "create": "created",
    "delete": "deleted",
    "update": "modified",
    "guest": "modified",
    "read": "read",
    "console": "read",
    "disk": "read",
}
_TURNED = {"on": "started", "off": "stopped"}
_INSTANCES = ("virtualmachine", "vm", "vapp", "domain", "server", "machine", "container")
_SEVERITIES = {8: "high", 5: "medium"}


def render(record: Tree) -> Document:
    it = read(record)
    event: Document = {}
    for block in (_base, _ends, _chain, _details):
        event |= dict(block(it))
    models = {"login": _authentication, "logout": _authentication, "alert": _alert}
    event |= dict(models.get(it.kind, _change)(it))
    return {
        "time": it.start_ns // 1000 / 1e6,
        **dropped({"host": it.part("sensor").get("id")}),
        "source": SOURCE,
        "sourcetype": SOURCETYPE,
        "event": dropped(event),
        # Under names of their own: those of the event, extracted again, would be there twice.
        "fields": {"hoptap_kind": it.kind, "hoptap_attribution": it.attribution},
    }


Fields = Iterator[tuple[str, Any]]


def _base(it: Reading) -> Fields:
    yield "kind", it.kind
    yield "record_id", it.id
    yield "vendor_product", PRODUCT
    yield "app", it.part("op").get("api")
    yield "signature", it.operation
    yield "signature_id", it.event_class
    yield "description", it.sentence
    yield "outcome", it.text("outcome")
    yield "reason", it.trouble
    yield "duration", it.duration_ns / 1e9
    yield "dvc", it.part("sensor").get("id")


def _ends(it: Reading) -> Fields:
    for end, side in (("src", "from"), ("dest", "to")):
        place = it.part(side)
        yield end, place.get("host") or place.get("ip")
        yield f"{end}_ip", place.get("ip")
        yield f"{end}_port", place.get("port")
        yield f"{end}_service", place.get("service")
        yield f"{end}_session", place.get("session")
    yield "dest_user", it.part("to").get("user")


def _chain(it: Reading) -> Fields:
    hop = it.part("hop")
    yield "hop_chain", it.path
    yield "attribution", it.attribution
    yield "delegate_user", it.delegate
    yield "users", list(it.users)
    yield "confidence", it.confidence if hop else None
    yield "candidates", list(it.candidates)
    yield "chain_id", it.part("chain").get("id")
    yield "services", it.part("chain").get("services")
    yield "hop_index", hop.get("index")
    yield "hop_count", hop.get("count")
    yield "parent_id", hop.get("parent_id")
    yield "state", hop.get("state")
    yield "evidence", hop.get("evidence")


def _details(it: Reading) -> Fields:
    op, flow, tls = it.part("op"), it.part("flow"), it.part("tls")
    yield "operation_class", it.operation_class
    yield "operation_id", op.get("id")
    yield "transport", flow.get("proto")
    yield "vlan", flow.get("vlan")
    yield "community_id", flow.get("community_id")
    yield "flow_uid", flow.get("uid")
    yield "ssl_version", tls.get("version")
    yield "ssl_cipher", tls.get("cipher")
    yield "tls", dict(tls)
    yield "http_user_agent", it.part("client").get("user_agent")
    yield "forwarded_for", it.part("client").get("forwarded_for")
    for name in ("visibility", "task", "guest_user", "amends", "gap_bytes", "integrity"):
        yield name, it.tree.get(name)
    yield "occasion", it.text("reason")
    yield "method", op.get("method")
    yield "tunnel", flow.get("tunnel")
    yield "interface", it.part("sensor").get("iface")
    yield "sensor_version", it.part("sensor").get("version")
    yield "tapped", dict(it.part("process"))
    yield "extra", dict(it.part("extra"))


def _authentication(it: Reading) -> Fields:
    outcome = it.text("outcome")
    yield "action", outcome if outcome in ("success", "failure") else None
    yield "user", it.account
    yield "user_domain", domain_of(it.account)
    yield "src_user", it.asker if it.is_delegated else None
    yield "src_user_domain", domain_of(it.asker) if it.is_delegated else None
    yield "authentication_method", it.part("op").get("method")
    yield "authentication_service", it.part("to").get("service")


def _change(it: Reading) -> Fields:
    target = it.part("target")
    if it.operation:
        changed = _CHANGES.get(it.operation_class, "modified")
        yield "action", _TURNED.get(it.turned, changed)
        yield "user", it.asker or it.account
        yield "command", it.operation
    yield "object", target.get("name") or target.get("id")
    yield "object_id", target.get("id")
    kind = str(target.get("type", "")).lower()
    yield "object_category", "instance" if kind in _INSTANCES else kind
    yield "status", it.text("outcome")
    yield "result", it.trouble or it.text("outcome")


def _alert(it: Reading) -> Fields:
    yield "signature", it.text("reason")
    yield "type", "alert"
    yield "severity", _SEVERITIES.get(it.severity, "low")
    yield "user", it.asker or it.account
    yield "object", it.part("target").get("name") or it.part("target").get("id")


FORMAT = Format("splunk", render)
