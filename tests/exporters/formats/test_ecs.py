"""Against the field list and the allowed values of the Elastic Common Schema 9.4.0."""

import json
from pathlib import Path
from typing import Any

import pytest

from exporters.formats import ecs
from exporters.formats.reading import ip_version
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    EXPLICIT,
    FAILED,
    OTHER_PSEUDONYM,
    PSEUDONYM,
    PSEUDONYMOUS,
    Tree,
    cases,
    hostile,
)

FOLDER = Path(__file__).parent
VALUES = json.loads((FOLDER / "ecs-values.json").read_text())


def ecs_fields() -> dict[str, tuple[str, int, bool]]:
    """Field -> type, longest that is indexed or 0, may it be an array."""
    rows = [
        line.split("\t")
        for line in (FOLDER / "ecs-fields.tsv").read_text().splitlines()
        if not line.startswith("#")
    ]
    return {
        name: (kind, 0 if most == "-" else int(most), array == "array")
        for name, kind, most, array in rows
    }


FIELDS = ecs_fields()
FREE_FORM = ("hop.candidates", "hop.evidence", "hop.extra")


def fields_of(document: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted names, as queries and mappings have them."""
    out: dict[str, Any] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in FREE_FORM:
            out |= fields_of(value, f"{name}.")
        else:
            out[name] = value
    return out


def is_of_type(value: Any, kind: str) -> bool:
    if kind == "long":
        return type(value) is int
    if kind == "boolean":
        return type(value) is bool
    if kind == "ip":
        return bool(ip_version(value))
    return isinstance(value, str)


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_only_fields_of_the_schema_with_its_types(tree: Tree) -> None:
    for name, value in fields_of(ecs.render(tree)).items():
        if name.startswith("hop."):
            continue
        kind, most, is_array = FIELDS[name]
        assert isinstance(value, list) == is_array, name
        for each in value if is_array else [value]:
            assert is_of_type(each, kind), (name, each)
            assert not most or len(each.encode("utf-16-le")) <= 2 * most


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_only_values_that_the_schema_allows(tree: Tree) -> None:
    found = fields_of(ecs.render(tree))
    for name in ("event.kind", "event.outcome", "network.direction"):
        assert found.get(name) is None or found[name] in VALUES[name]
    expected = {kind for each in found["event.category"] for kind in VALUES["event.category"][each]}
    assert set(found["event.type"]) <= expected
    assert found["ecs.version"] == "9.4.0"
    assert not any(name.startswith("source.user") for name in found)


def test_who_and_on_whose_account() -> None:
    found = fields_of(ecs.render(as_dict(EXPLICIT)))
    assert found["user.name"] == "bob@acme" and found["user.domain"] == "acme"
    assert found["user.effective.name"] == found["destination.user.name"] == "vpxuser"
    assert found["related.user"] == ["bob@acme", "vCloudService", "vpxuser"]
    assert found["hop.chain"] == ["VCD:bob@acme", "VC:vCloudService", "ESX:vpxuser"]
    assert found["event.type"] == ["deletion"] and "api" in found["event.category"]
    assert found["event.duration"] == 1_500_000
    assert found["trace.id"] == "7a1c-01-e4" and "hop.op_id" not in found
    assert found["orchestrator.cluster.name"] == "vc1.example.org"
    assert found["network.vlan.id"] == "100"
    assert found["related.hash"] == ["b2s:22bb", "b2s:11aa"]


def test_what_is_not_decided_is_visible() -> None:
    found = fields_of(ecs.render(as_dict(AMBIGUOUS)))
    assert not any(name in found for name in ("user.name", "user.id", "user.hash", "trace.id"))
    assert found["hop.attribution"] == "ambiguous"
    assert [each["user"] for each in found["hop.candidates"]] == [
        "bob@acme",
        "CORP\\alice",
        "carol:x",
    ]
    assert set(found["related.user"]) >= {"bob@acme", "CORP\\alice", "carol:x", "vpxuser"}


def test_pseudonyms_have_their_own_field() -> None:
    found = fields_of(ecs.render(as_dict(PSEUDONYMOUS)))
    assert found["user.hash"] == PSEUDONYM and found["user.effective.hash"] == OTHER_PSEUDONYM
    assert not any(name.endswith((".name", ".id")) and "user" in name for name in found)
    assert found["source.address"] == "no-address" and "source.ip" not in found
    assert found["destination.address"] == "fe80::1%eth0" and "destination.ip" not in found


def test_requests_named_by_method_and_path() -> None:
    found = fields_of(ecs.render(as_dict(FAILED)))
    assert found["http.request.method"] == "POST" and found["url.path"] == "/api/session"
    assert found["http.response.status_code"] == 401
    assert found["event.category"] == ["authentication"]


@pytest.mark.parametrize("size", [1023, 1024, 1025, 10_000])
@pytest.mark.parametrize("character", ["x", "\u05d0", "\U0001f600", "\\"])
def test_every_keyword_is_short_enough_to_be_indexed(size: int, character: str) -> None:
    document = ecs.render(as_dict(hostile(character * size)))
    document.pop("message")

    def longest(value: Any) -> int:
        if isinstance(value, dict):
            return max(max(longest(key), longest(item)) for key, item in value.items())
        if isinstance(value, list):
            return max(longest(item) for item in value)
        return len(value.encode("utf-16-le")) // 2 if isinstance(value, str) else 0

    assert min(size, 1023) <= longest(document) <= 1024


def test_no_key_has_a_nul() -> None:
    """Elasticsearch would refuse the document: it joins keys and values by one."""
    extra = ecs.render(as_dict(hostile("a\0b")))["hop"]["extra"]
    assert extra == {"ab": "a\0b"}
