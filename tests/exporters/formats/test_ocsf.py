"""Against the published schema of OCSF 1.8.0, without deprecated attributes."""

import copy
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from exporters.formats import ocsf
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    AMENDED,
    EXPLICIT,
    FAILED,
    GAP,
    HOSTILE,
    NOTICE,
    Tree,
    cases,
    hostile,
)


@cache
def schema() -> dict[str, Any]:
    published: dict[str, Any] = get_ocsf_schema("1.8.0")
    return published


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Draft202012Validator:
    embedded = OcsfJsonSchemaEmbedded(copy.deepcopy(schema()))
    name = embedded.lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(embedded.get_class_schema(name, list(profiles)))


def errors(event: dict[str, Any]) -> list[str]:
    found = validator(event["class_uid"], tuple(event["metadata"].get("profiles", ())))
    return [f"{error.json_path}: {error.message}" for error in found.iter_errors(event)]


def class_of(event: dict[str, Any]) -> dict[str, Any]:
    classes: dict[str, dict[str, Any]] = schema()["classes"]
    return next(each for each in classes.values() if each["uid"] == event["class_uid"])


def deprecated(value: Any, attributes: dict[str, Any]) -> list[str]:
    """Attributes of this object or below, that the schema advises against."""
    if isinstance(value, list):
        return [name for each in value for name in deprecated(each, attributes)]
    if not isinstance(value, dict):
        return []
    out = []
    for name, item in value.items():
        attribute = attributes.get(name, {})
        out += [name] if "@deprecated" in attribute else []
        below = schema()["objects"].get(attribute.get("object_type"), {})
        out += deprecated(item, below.get("attributes", {}))
    return out


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_events_are_valid(tree: Tree) -> None:
    event = ocsf.render(tree)
    assert errors(event) == []
    kind = class_of(event)
    assert deprecated(event, kind["attributes"]) == []
    assert event["metadata"]["version"] == schema()["version"] == "1.8.0"
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    for name in ("class", "category", "activity", "type"):  # captions are those of the schema
        uid = str(event["activity_id"] if name == "activity" else event[f"{name}_uid"])
        key = "activity_id" if name == "activity" else f"{name}_uid"
        assert kind["attributes"][key]["enum"][uid]["caption"] == event[f"{name}_name"]


def test_the_schema_finds_mistakes() -> None:
    event = ocsf.render(as_dict(EXPLICIT))
    for change in ({"actor": None}, {"invented": 1}, {"activity_id": 77}, {"time": "now"}):
        broken = {name: item for name, item in (event | change).items() if item is not None}
        assert errors(broken), change
    assert errors({**event, "actor": {"user": {"nickname": "bob"}}})


def test_an_action_is_api_activity_in_a_trace() -> None:
    event = ocsf.render(as_dict(EXPLICIT))
    assert event["type_uid"] == 600304
    assert event["actor"]["user"]["name"] == "bob@acme" and event["actor"]["user"]["type_id"] == 1
    assert event["actor"]["app_name"] == "VC"
    assert event["actor"]["session"]["uid"] == "b2s:11aa"
    assert event["trace"]["uid"] == event["metadata"]["correlation_uid"] == EXPLICIT.id
    assert event["trace"]["span"]["parent_uid"].endswith("000000")
    assert event["unmapped"]["hop"]["path"] == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"
    users = [each["value"] for each in event["observables"] if each["type_id"] == 4]
    assert users == ["bob@acme", "vCloudService", "vpxuser"]


def test_an_amended_chain_is_an_account_switch() -> None:
    event = ocsf.render(as_dict(AMENDED))
    assert (event["type_uid"], event["account_switch_type_id"]) == (300207, 2)
    assert event["user"] == {"name": "vpxuser", "type_id": 4, "type": "Service"}
    assert event["actor"]["user"]["name"] == "bob@acme"
    assert event["metadata"]["original_event_uid"] == EXPLICIT.id


def test_where_it_is_not_decided_there_is_no_actor_but_candidates() -> None:
    event = ocsf.render(as_dict(AMBIGUOUS))
    assert "user" not in event["actor"]
    assert len(event["unmapped"]["hop"]["candidates"]) == 3
    users = {each["value"] for each in event["observables"] if each["type_id"] == 4}
    assert users >= {"bob@acme", "CORP\\alice", "carol:x"}


def test_alerts_gaps_and_refused_logins() -> None:
    alert, gap, login = (ocsf.render(as_dict(each)) for each in (NOTICE, GAP, FAILED))
    assert (alert["class_uid"], alert["severity"], alert["is_alert"]) == (2004, "High", True)
    assert alert["finding_info"]["title"] == "scanner"
    assert gap["class_uid"] == 4001 and gap["traffic"] == {"bytes_missed": 4096}
    assert gap["connection_info"]["protocol_ver_id"] == 6
    assert (login["class_uid"], login["status_id"], login["user"]["name"]) == (3002, 2, "?")
    assert (login["auth_protocol_id"], login["status_code"]) == (11, "401")


@pytest.mark.parametrize("text", [HOSTILE, "x" * 10_000, "", "\x00"])
def test_hostile_texts_leave_it_valid(text: str) -> None:
    assert errors(ocsf.render(as_dict(hostile(text)))) == []
