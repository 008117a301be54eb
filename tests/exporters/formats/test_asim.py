"""Microsoft's ASIM, by the tables of its schema pages: Authentication, AuditEvent, and others."""

import pytest

from exporters.formats import asim
from exporters.formats.reading import ip_version
from sensor.records import as_dict
from tests.exporters.formats.cases import (
    AMBIGUOUS,
    EXPLICIT,
    FAILED,
    GAP,
    NOTICE,
    Tree,
    cases,
)

MANDATORY = {
    "EventCount", "EventStartTime", "EventEndTime", "EventType", "EventResult", "EventProduct",
    "EventVendor", "EventSchema", "EventSchemaVersion", "Dvc",
}  # fmt: skip
VERSIONS = {
    "Authentication": "0.1.4",
    "AuditEvent": "0.1.2",
    "AlertEvent": "0.1",
    "NetworkSession": "0.2.6",
}
TYPES = {
    "Authentication": {"Logon", "Logoff", "Elevate"},
    "AuditEvent": {
        "Set", "Read", "Create", "Delete", "Execute", "Install", "Clear", "Enable", "Disable",
        "Initialize", "Start", "Stop", "Other",
    },
    "AlertEvent": {"Alert"},
    "NetworkSession": {"NetworkSession"},
}  # fmt: skip
LOGON_METHODS = {
    "Managed Identity", "Service Principal", "Username & Password", "Multi factor authentication",
    "Passwordless", "PKI", "PAM", "Other",
}  # fmt: skip
SUBTYPES = {
    "System", "Interactive", "RemoteInteractive", "Service", "RemoteService", "Remote",
    "AssumeRole",
}  # fmt: skip


@pytest.mark.parametrize("tree", cases(), ids=lambda tree: f"{tree['kind']} {tree.get('id', '')}")
def test_the_schemas_rules(tree: Tree) -> None:
    event = asim.render(tree)
    schema = event["EventSchema"]
    assert event.keys() >= MANDATORY
    assert event["EventSchemaVersion"] == VERSIONS[schema]
    assert event["EventType"] in TYPES[schema]
    assert event["EventResult"] in {"Success", "Partial", "Failure", "NA"}
    assert event["EventSeverity"] in {"Informational", "Low", "Medium", "High"}
    assert event.get("LogonMethod", "Other") in LOGON_METHODS
    if schema == "Authentication":
        assert event.get("EventSubType", "Remote") in SUBTYPES
    if schema == "AuditEvent":
        assert event["Operation"] and event["Object"]
    for side in ("Actor", "Target"):  # a name needs its type
        assert (f"{side}Username" in event) == (f"{side}UsernameType" in event)
        assert event.get(f"{side}UsernameType", "UPN") in {"UPN", "Windows", "Simple"}
    assert all(ip_version(event[name]) for name in event if name.endswith("IpAddr"))


def test_a_delegated_login_reads_like_the_schemas_sentence() -> None:
    login = {**as_dict(EXPLICIT), "kind": "login"}
    login["op"] = {"name": "Login", "api": "vim25", "class": "login", "method": "password"}
    event = asim.render(login)
    assert (event["EventType"], event["EventSubType"]) == ("Elevate", "AssumeRole")
    assert (event["ActorUsername"], event["ActorUsernameType"]) == ("bob@acme", "UPN")
    assert (event["TargetUsername"], event["TargetUserType"]) == ("vpxuser", "Service")
    assert (event["ActingAppName"], event["TargetAppName"]) == ("VC", "ESX")
    assert (event["ActorSessionId"], event["TargetSessionId"]) == ("b2s:11aa", "b2s:22bb")
    assert event["AdditionalFields"]["HopChain"] == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"


def test_others() -> None:
    action, open_, failed, gap, alert = (
        asim.render(as_dict(each)) for each in (EXPLICIT, AMBIGUOUS, FAILED, GAP, NOTICE)
    )
    assert (action["EventType"], action["ActorUsername"]) == ("Delete", "bob@acme")
    assert "ActorUsername" not in open_ and len(open_["AdditionalFields"]["Candidates"]) == 3
    assert failed["EventOriginalResultDetails"] == "HTTP 401"
    assert (gap["EventSchema"], gap["DstIpAddr"]) == ("NetworkSession", "2001:db8::2")
    assert alert["AlertName"] == "scanner"
