"""What each format leaves out of a record: a new field gets its place, or is named here."""

import json
import re
from typing import Any

import pytest

from exporters.formats import asim, cef, ecs, eve, leef, ocsf, splunk, udm, zeek
from exporters.formats.format import Format
from exporters.formats.registry import FORMATS
from tests.exporters.formats.cases import Tree, filled
from tests.exporters.formats.test_ocsf import errors

# Said by the path already, or by how the format counts.
IMPLIED = {"schema", "chain.depth", "hop.service"}
INTEGRITY = {"integrity.seq", "integrity.prev", "integrity.hash"}
CERTIFICATES = {
    f"tls.{side}{name}" for side in ("", "client_") for name in ("subject", "issuer", "fingerprint")
}
TLS = CERTIFICATES | {
    f"tls.{name}"
    for name in (
        *("version", "cipher", "sni", "alpn", "ja3", "ja3s", "ja4", "ja4s", "key_source"),
        "reason",
    )
}
LINES = IMPLIED | INTEGRITY | TLS | {
    *("chain.services", "client.forwarded_for", "extra.v-key", "flow.tunnel", "hop.count", "task"),
    *("hop.candidates.id", "hop.evidence.key", "hop.evidence.value", "hop.evidence.grade"),
    *("hop.candidates.confidence", "process.pid", "process.container"),
}  # fmt: skip
SPARSE = LINES - {"hop.candidates.confidence"} | {
    *("flow.uid", "flow.vlan", "from.session", "from.user", "to.user", "guest_user", "hop.user"),
    *("hop.parent_id", "process.name", "visibility", "reason", "hop.candidates.path"),
}  # fmt: skip
LOST: list[tuple[Format, set[str]]] = [
    (ecs.FORMAT, {"schema", "integrity.prev"}),
    (ocsf.FORMAT, {"schema", "hop.service", "gap_bytes"}),
    (splunk.FORMAT, IMPLIED),
    (asim.FORMAT, IMPLIED | INTEGRITY | {"hop.count"}),
    (udm.FORMAT, IMPLIED | INTEGRITY | {"hop.count", "sensor.iface"}),
    (
        eve.FORMAT,
        IMPLIED
        | INTEGRITY
        | CERTIFICATES - {"tls.subject", "tls.issuer", "tls.fingerprint"}
        | {"tls.ja4s", "tls.key_source", "tls.reason", "sensor.version"},
    ),
    (zeek.FORMAT, LINES | {"from.host", "sensor.iface", "sensor.version"}),
    (cef.FORMAT, SPARSE | {"chain.id", "op.method"}),
    (leef.FORMAT, SPARSE | {"from.host", "sensor.iface"}),
]


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item, path)]
    return [(path.lstrip("."), value)]


@pytest.mark.parametrize(("format", "expected"), LOST, ids=[each.name for each, _ in LOST])
def test_what_is_left_out(format: Format, expected: set[str]) -> None:
    rendered = format.render(filled())
    shown = (rendered if isinstance(rendered, str) else json.dumps(rendered)).lower()
    values = [
        (path, value)
        for path, value in leaves(filled())
        if value is not True and path not in ("ts", "ts_end")
    ]
    missing = {
        path
        for path, value in values
        if not re.search(rf"(?<![\w-]){re.escape(str(value).lower())}(?![\w-])", shown)
    }
    # ECS and others split "TLS 1.3"; the words are there.
    missing -= {"tls.version"} if not format.is_text and "1.3" in shown else set()
    assert missing == expected


def test_every_leaf_has_a_value_of_its_own() -> None:
    values = [str(value) for _, value in leaves(filled()) if value is not True]
    repeated = {value for value in values if values.count(value) > 1}
    assert repeated <= {"v-head", "VC"}


def without(tree: Tree, path: str) -> Tree:
    name, _, below = path.partition(".")
    if not below:
        return {key: item for key, item in tree.items() if key != name}
    value = tree[name]
    if isinstance(value, list):
        return {**tree, name: [without(each, below) for each in value]}
    return {**tree, name: without(value, below)}


BLOCKS = [name for name, item in filled().items() if isinstance(item, dict)]
PATHS = sorted({path for path, _ in leaves(filled())} | {*BLOCKS} | {"hop.candidates"})


@pytest.mark.parametrize("path", [path for path in PATHS if path not in ("ts", "kind", "schema")])
def test_whatever_is_missing_or_dropped_for_privacy(path: str) -> None:
    tree = without(filled(), path)
    assert tree != filled()
    for format in FORMATS.values():
        assert format.render(tree)
    assert errors(ocsf.render(tree)) == []
