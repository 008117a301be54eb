"""What a dialect has no field for, under names of our own in camelCase."""

from typing import Any

from exporters.formats.reading import Reading


def additional(it: Reading) -> dict[str, Any]:
    chain, hop, op = it.part("chain"), it.part("hop"), it.part("op")
    return {
        "account": it.account,
        "amends": it.text("amends"),
        "api": op.get("api"),
        "attribution": it.attribution,
        "candidates": list(it.candidates),
        "chainId": chain.get("id"),
        "confidence": it.confidence if hop else None,
        "evidence": hop.get("evidence"),
        "extra": dict(it.part("extra")),
        "flow": dict(it.part("flow")),
        "forwardedFor": it.part("client").get("forwarded_for"),
        "gapBytes": it.tree.get("gap_bytes"),
        "guestUser": it.text("guest_user"),
        "hopChain": it.path,
        "hopIndex": hop.get("index"),
        "kind": it.kind,
        "method": op.get("method"),
        "operation": it.operation,
        "operationClass": it.operation_class,
        "operationId": op.get("id"),
        "parentId": hop.get("parent_id"),
        "process": dict(it.part("process")),
        "reason": it.text("reason"),
        "serverSession": it.part("to").get("session"),
        "services": chain.get("services"),
        "state": hop.get("state"),
        "task": it.text("task"),
        "tls": dict(it.part("tls")),
        "users": list(it.users),
        "visibility": it.text("visibility"),
    }
