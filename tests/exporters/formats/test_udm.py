"""Google's UDM, by the rules of its usage guide; and the lines like Suricata's."""

import re
from typing import Any

import pytest

from exporters.formats import eve, udm
from exporters.formats.reading import ip_version
from sensor.records import as_dict
from tests.exporters.formats.cases import AMBIGUOUS, EXPLICIT, GAP, NOTICE, Tree, cases, hostile

EVENT_TYPES = {
    "USER_LOGIN", "USER_LOGOUT", "USER_RESOURCE_CREATION", "USER_RESOURCE_DELETION",
    "USER_RESOURCE_UPDATE_CONTENT", "USER_RESOURCE_ACCESS", "GENERIC_EVENT",
}  # fmt: skip
MECHANISMS = {"USERNAME_PASSWORD", "MECHANISM_OTHER", "MECHANISM_UNSPECIFIED"}
CONFIDENCES = {"LOW_CONFIDENCE", "MEDIUM_CONFIDENCE", "HIGH_CONFIDENCE"}


def names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for item in value.values() for name in names(item))]
    return [name for item in value for name in names(item)] if isinstance(value, list) else []


@pytest.mark.parametrize(
    "tree",
    [*cases(), as_dict(hostile("é" * 9_999))],
    ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}",
)
def test_the_guides_rules(tree: Tree) -> None:
    event = udm.render(tree)
    metadata = event["metadata"]
    assert metadata["eventType"] in EVENT_TYPES
    assert metadata["vendorName"] == metadata["productName"] == "hoptap"
    assert len(metadata["description"].encode()) <= 1024
    assert len(metadata["productEventType"].encode()) <= 64
    for noun in ("principal", "target"):
        assert all(map(ip_version, event.get(noun, {}).get("ip", [])))
    (result,) = event["securityResult"]
    assert result.get("confidence", "LOW_CONFIDENCE") in CONFIDENCES
    auth = event.get("extensions", {}).get("auth", {})
    assert set(auth.get("mechanism", ())) <= MECHANISMS
    document = {name: item for name, item in event.items() if name != "additional"}
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9]*", name) for name in names(document))


def test_a_chain_is_principal_intermediaries_and_target() -> None:
    event = udm.render(as_dict(EXPLICIT))
    assert event["principal"] == {
        "user": {"userid": "bob@acme"},
        "administrativeDomain": "acme",
        "application": "VCD",
    }
    (between,) = event["intermediary"]
    assert (between["application"], between["ip"]) == ("VC", ["10.0.0.5"])
    assert between["user"] == {"userid": "vCloudService"}
    assert event["target"]["user"] == {"userid": "vpxuser"}
    assert event["target"]["resource"]["resourceType"] == "VIRTUAL_MACHINE"
    assert event["network"]["parentSessionId"] == "b2s:11aa"
    assert event["metadata"]["eventType"] == "USER_RESOURCE_DELETION"
    assert "extensions" not in event


def test_where_it_is_not_decided() -> None:
    event = udm.render(as_dict(AMBIGUOUS))
    assert "user" not in event["principal"]
    assert [each["user"]["userid"] for each in event["about"]] == [
        "bob@acme",
        "CORP\\alice",
        "carol:x",
    ]


def test_gaps_and_alerts() -> None:
    assert udm.render(as_dict(GAP))["metadata"]["eventType"] == "GENERIC_EVENT"
    assert udm.render(as_dict(NOTICE))["securityResult"][0]["ruleName"] == "scanner"


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_lines_like_suricatas(tree: Tree) -> None:
    line = eve.render(tree)
    assert line["event_type"] == "hop"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", line["timestamp"])
    assert 0 <= line["flow_id"] < 2**53
    assert "proto" not in line or line["proto"].isupper()
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in line)


def test_eve() -> None:
    line, again = eve.render(as_dict(EXPLICIT)), eve.render(as_dict(AMBIGUOUS))
    assert (line["src_ip"], line["dest_port"], line["vlan"]) == ("10.0.0.5", 443, [100])
    assert line["flow_id"] == again["flow_id"]  # the same flow
    assert line["hop"]["user"] == "bob@acme" and "user" not in again["hop"]
    assert line["hop"]["target"] == {"type": "VirtualMachine", "id": "vm-417", "name": "web-07"}
