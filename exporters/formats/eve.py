"""Lines as Suricata writes them, for tools that read eve.json: `event_type` is "hop"."""

from functools import lru_cache
from hashlib import blake2b

from exporters.formats.format import Document, Format
from exporters.formats.moment import iso_micro
from exporters.formats.ocsf_parts import dropped
from exporters.formats.reading import Reading, read
from exporters.transport import Tree

FLOW_ID_BYTES = 6  # below 2^53: a JSON number that every reader keeps


def render(record: Tree) -> Document:
    it = read(record)
    source, to, flow = it.part("from"), it.part("to"), it.part("flow")
    vlan = flow.get("vlan")
    return dropped(
        {
            "timestamp": iso_micro(it.start_ns, "+0000"),
            "flow_id": _flow_id(str(flow.get("uid") or flow.get("community_id") or it.id)),
            "in_iface": it.part("sensor").get("iface"),
            "event_type": "hop",
            "src_ip": source.get("ip"),
            "src_port": source.get("port"),
            "dest_ip": to.get("ip"),
            "dest_port": to.get("port"),
            "proto": str(flow.get("proto", "")).upper(),
            "vlan": [vlan] if vlan is not None else None,
            "community_id": flow.get("community_id"),
            "host": it.part("sensor").get("id"),
            "tls": _tls(it),
            "http": _http(it),
            "hop": _hop(it),
        }
    )


@lru_cache(maxsize=4096)
def _flow_id(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=FLOW_ID_BYTES).digest(), "big")


def _tls(it: Reading) -> Document:
    tls = it.part("tls")
    return {
        "version": tls.get("version"),
        "sni": tls.get("sni"),
        "subject": tls.get("subject"),
        "issuerdn": tls.get("issuer"),
        "cipher_suite": tls.get("cipher"),
        "session_resumed": tls.get("resumed"),
        "ja3": {"hash": tls.get("ja3")},
        "ja3s": {"hash": tls.get("ja3s")},
        "ja4": tls.get("ja4"),
        "fingerprint": tls.get("fingerprint"),
        "alpn": tls.get("alpn"),
    }


def _http(it: Reading) -> Document:
    method, path = it.request
    client = it.part("client")
    return {
        "http_method": method,
        "url": path.partition("?")[0],
        "status": it.status or None,
        "http_user_agent": client.get("user_agent"),
        "xff": client.get("forwarded_for"),
    }


def _hop(it: Reading) -> Document:
    chain, hop, op = it.part("chain"), it.part("hop"), it.part("op")
    return {
        "id": it.id,
        "kind": it.kind,
        "path": it.path,
        "user": it.asker,
        "account": it.account,
        "users": list(it.users),
        "attribution": it.attribution,
        "confidence": it.confidence if hop else None,
        "candidates": list(it.candidates),
        "chain_id": chain.get("id"),
        "services": chain.get("services"),
        "index": hop.get("index"),
        "count": hop.get("count"),
        "parent_id": hop.get("parent_id"),
        "state": hop.get("state"),
        "evidence": hop.get("evidence"),
        "operation": it.operation,
        "class": it.operation_class,
        "api": op.get("api"),
        "method": op.get("method"),
        "operation_id": op.get("id"),
        "target": dict(it.part("target")),
        "outcome": it.text("outcome"),
        "duration_ms": it.duration_ns / 1e6,
        "flow_uid": it.part("flow").get("uid"),
        "tunnel": it.part("flow").get("tunnel"),
        "src_service": it.part("from").get("service"),
        "src_host": it.part("from").get("host"),
        "src_session": it.part("from").get("session"),
        "dest_service": it.part("to").get("service"),
        "dest_host": it.part("to").get("host"),
        "dest_session": it.part("to").get("session"),
        "gap_bytes": it.tree.get("gap_bytes"),
        **{
            name: it.text(name)
            for name in ("fault", "reason", "task", "guest_user", "amends", "visibility")
        },
        "process": dict(it.part("process")),
        "extra": dict(it.part("extra")),
    }


FORMAT = Format("eve", render)
