"""The capture of TCP 902, from packets to records: whose disks, which guesses, which hosts."""

from pathlib import Path

import pytest

from tests.command import Record, hoptap, read_records
from tests.packaged import capture_of, replayed
from tests.truth902 import Line, lines_of

NAME = "authd902-tls13"
BACKUP = "VC:CORP\\\\svc-backup:ESX:?"


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return replayed(NAME, tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def truth() -> list[Line]:
    return lines_of(NAME)


def sender(record: Record) -> str:
    return f"{record['from']['ip']}:{record['from']['port']}"


def named(records: list[Record], operation: str) -> list[Record]:
    return [each for each in records if each.get("op", {}).get("name") == operation]


def test_each_disk_leads_to_who_asked_vcenter_for_its_ticket(
    records: list[Record], truth: list[Line]
) -> None:
    asked = {each["id"]: each for each in named(records, "NfcGetVmFiles")}
    tickets = {line["session"]: line for line in truth if line["ev"] == "nfc_ticket"}
    served = {line["src"]: tickets[line["session"]] for line in truth if line["ev"] == "proxy"}
    assert len(served) == 2
    for operation in ("SESSION", "PROXY", "NfcOpenFile"):
        found = {sender(each): each for each in named(records, operation)}
        for client, ticket in served.items():
            record = found[client]
            assert record["chain"]["path"] == BACKUP
            assert record["chain"]["users"] == [ticket["user"]]
            assert (record["hop"]["cause"], record["outcome"]) == ("explicit", "success")
            assert sender(asked[record["hop"]["parent_id"]]) == ticket["src"]
            [fact] = record["hop"]["evidence"]
            assert (fact["key"], fact["grade"]) == ("ticket", "proved")
    for disk in named(records, "NfcOpenFile"):
        assert disk["extra"]["intent"] == "read" and int(disk["extra"]["bytes_to_client"]) > 400_000


def test_a_ticket_nobody_was_seen_to_get_names_nobody(
    records: list[Record], truth: list[Line]
) -> None:
    consoles = [each for each in named(records, "CONNECT") if each["kind"] == "action"]
    assert sorted(each["chain"]["path"] for each in consoles) == ["ESX:?", "ESX:root"]
    [refused] = [line for line in truth if line["ev"] == "session" and not line["ok"]]
    [record] = [each for each in named(records, "SESSION") if sender(each) == refused["src"]]
    assert (record["chain"]["path"], record["hop"]["confidence"]) == ("ESX:?", 0.0)
    assert record["outcome"] == "failure"


def test_guessing_is_one_alert_for_its_source(records: list[Record], truth: list[Line]) -> None:
    refused = [line for line in truth if line["ev"] == "login" and line.get("ok") is False]
    sources = {line["src"].partition(":")[0] for line in refused}
    [alert] = [each for each in records if each.get("reason") == "password_guessing"]
    assert alert["from"]["ip"] in sources
    assert sum(line["src"].startswith(alert["from"]["ip"]) for line in refused) > 20
    assert alert["extra"]["value"].endswith(": admin, operator, root")
    guessed = [each for each in records if each.get("reason") == "password_guessed"]
    assert {each["from"]["ip"] for each in guessed} == {alert["from"]["ip"]}


def test_hosts_are_known_by_their_heartbeats(records: list[Record], truth: list[Line]) -> None:
    keys = {line["host"]: line["uuid"] for line in truth if line["ev"] == "heartbeat"}
    for record in records:
        if record["to"]["ip"] in keys and record["kind"] != "chain":
            assert record["to"]["service"] == "ESX"
            assert record["to"]["host"] == keys[record["to"]["ip"]]
    past = {
        (each["from"]["ip"], each["to"]["ip"])
        for each in records
        if each.get("reason") in ("direct_host_login", "vpxuser_elsewhere")
    }
    logged_in = {
        line["src"].partition(":")[0]
        for line in truth
        if line["ev"] == "login"
        and line.get("side") == "server"
        and (line["user"] == "vpxuser" or (line["user"] == "root" and line["ok"]))
    }
    assert {client for client, _ in past} == logged_in


def test_what_is_not_decrypted_is_nobodys_own(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    hoptap("replay", "--out", out, capture_of(NAME))
    [disk, closed] = named(read_records(out), "NfcOpenFile")
    assert (closed["amends"], closed["reason"]) == (disk["id"], "closed")
    assert (disk["visibility"], disk["chain"]["path"]) == ("clear", "ESX:?")
    assert (disk["hop"]["cause"], disk["hop"]["confidence"]) == ("none", 0.0)
