"""The fields of Splunk's Common Information Model 8.5, and the collector's envelope."""

import json
from typing import Any

import pytest

from exporters.formats import splunk
from sensor.records import Record, as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    CORRELATED,
    EXPLICIT,
    FAILED,
    NOTICE,
    Tree,
    cases,
)
from tests.records import START_NS

# Of the model's own tables: what `action` may be.
CHANGES = {"created", "deleted", "modified", "read", "started", "stopped"}
AUTHENTICATIONS = {"success", "failure"}


def event(record: Record) -> dict[str, Any]:
    return dict(splunk.render(as_dict(record))["event"])


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_envelopes(tree: Tree) -> None:
    envelope = splunk.render(tree)
    assert set(envelope) - {"host"} == {"time", "source", "sourcetype", "event", "fields"}
    assert abs(envelope["time"] - tree["ts"] / 1e9) < 1e-6
    assert len(json.dumps(envelope["time"]).partition(".")[2]) <= 6
    # Indexed fields are flat: a collector refuses objects there.
    assert all(isinstance(value, str) for value in envelope["fields"].values())
    if tree["kind"] in ("login", "logout"):
        assert envelope["event"].get("action", "success") in AUTHENTICATIONS
    elif tree["kind"] == "action":
        assert envelope["event"]["action"] in CHANGES


def test_time_has_microseconds() -> None:
    assert splunk.render(as_dict(EXPLICIT))["time"] == 1795290000.123456
    assert START_NS == 1795290000123456789


def test_a_change_is_by_who_asked_or_else_by_the_last_account_seen() -> None:
    assert event(EXPLICIT)["user"] == event(CORRELATED)["user"] == "bob@acme"
    assert event(AMBIGUOUS)["user"] == event(AMBIGUOUS)["delegate_user"] == "vpxuser"
    assert "src_user" not in event(AMBIGUOUS)
    found = event(EXPLICIT)
    assert (found["action"], found["object"], found["object_id"]) == ("deleted", "web-07", "vm-417")
    assert (found["object_category"], found["command"]) == ("instance", "Destroy_Task")


def test_a_login_by_a_delegate_has_both() -> None:
    login = {**as_dict(EXPLICIT), "kind": "login"}
    login["op"] = {"name": "Login", "api": "vim25", "class": "login", "method": "password"}
    found = splunk.render(login)["event"]
    assert (found["src_user"], found["user"]) == ("bob@acme", "vpxuser")
    assert (found["action"], found["authentication_method"]) == ("success", "password")
    assert event(FAILED)["action"] == "failure" and "user" not in event(FAILED)


def test_an_alert() -> None:
    found = event(NOTICE)
    assert (found["signature"], found["severity"], found["type"]) == ("scanner", "high", "alert")


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PowerOnVM_Task", "started"),
        ("PowerOffVM_Task", "stopped"),
        ("deployment.deployments.resources.requests.PowerOff", "stopped"),
        ("SuspendVM_Task", "stopped"),
        ("ShutdownGuest", "stopped"),
        ("domain_shutdown", "stopped"),
        ("domain_create_start", "started"),
        ("ResetVM_Task", "modified"),
        ("RestartGuest", "modified"),
        ("RebootGuest", "modified"),
    ],
)
def test_power(operation: str, action: str) -> None:
    tree = as_dict(EXPLICIT)
    tree["op"] = {"name": operation, "api": "vim25", "class": "power"}
    assert splunk.render(tree)["event"]["action"] == action
