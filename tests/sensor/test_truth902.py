"""The capture of TCP 902, from packets to messages, against what its servers saw."""

from pathlib import Path

import pytest

from decoders.message import Call, Login, Moved, OperationClass, ServerSeen, TicketIssued
from sensor.streams import Streams
from tests.packaged import capture_of, replayed, tls_secrets_of
from tests.sensor.said902 import hashed, said_of
from tests.truth import judge
from tests.truth902 import Said, differences, lines_of, opened, record_facts, tickets

NAME = "authd902-tls13"
DISK = "[LocalDS_0] web01/web01.vmdk"


@pytest.fixture(scope="module")
def decrypted() -> tuple[list[Said], Streams]:
    listener, streams = said_of(capture_of(NAME), tls_secrets_of(NAME))
    assert not listener.missing_bytes
    return listener.said, streams


def test_everything_that_the_servers_saw_is_said(decrypted: tuple[list[Said], Streams]) -> None:
    said, streams = decrypted
    assert differences(said, lines_of(NAME), hashed) == []
    assert not streams.decode_errors and not streams.contained_errors


def test_every_disk_that_nfc_opened(decrypted: tuple[list[Said], Streams]) -> None:
    said, _ = decrypted
    served = {line["src"]: line for line in lines_of(NAME) if line["ev"] == "proxy"}
    seen = opened(said)
    assert {client for client, *_ in seen} == set(served) and seen.total() == len(served) == 2
    for client, path, intent, visible in seen:
        assert (path, intent) == (DISK, "read")
        assert visible == ("decrypted" if served[client]["arg"].endswith("ssl") else "clear")
    calls = {(flow, each.time_ns) for flow, each, _ in said if isinstance(each, Call)}
    moved = {(flow, each.call_ns): each for flow, each, _ in said if isinstance(each, Moved)}
    assert moved.keys() <= calls
    read = [each.to_client_bytes for each in moved.values()]
    assert sum(size > 400_000 for size in read) == 2  # the disks; the others are consoles
    assert {dict(disk.details).get("client") for disk in disks_of(said)} == {"vddk"}


def disks_of(said: list[Said]) -> list[Call]:
    return [each for _, each, _ in said if isinstance(each, Call) and each.api == "nfc"]


def test_tickets_lead_to_who_asked_for_them(decrypted: tuple[list[Said], Streams]) -> None:
    said, _ = decrypted
    issued = {each.ticket for _, each, _ in said if isinstance(each, TicketIssued)}
    asked_for = {hashed(ticket) for ticket in tickets(lines_of(NAME))}
    used = {each.ticket for _, each, _ in said if isinstance(each, Login) and each.new_tokens}
    assert issued == asked_for and asked_for <= used


def test_no_secret_is_said_again(decrypted: tuple[list[Said], Streams]) -> None:
    said, _ = decrypted
    lines = lines_of(NAME)
    secrets = {line["session"] for line in lines if line["ev"] in ("session", "nfc_ticket")}
    secrets |= {line["user"] for line in lines if str(line.get("user", "")).startswith("52")}
    assert len(secrets) == 4
    text = repr(said)
    assert [secret for secret in secrets if secret in text] == []


def test_only_hosts_are_called_hosts(decrypted: tuple[list[Said], Streams]) -> None:
    said, _ = decrypted
    seen = {
        (flow.server_ip, each.service) for flow, each, _ in said if isinstance(each, ServerSeen)
    }
    hosts = {line["host"] for line in lines_of(NAME) if line["ev"] == "heartbeat"}
    assert {server for server, service in seen if service == "ESX"} <= hosts


def test_without_keys_sealed_services_have_no_users() -> None:
    listener, streams = said_of(capture_of(NAME))
    said = listener.said
    assert not streams.decode_errors
    sealed = [each for _, each, visible in said if visible == "metadata"]
    assert {type(each) for each in sealed} == {Call}
    for call in sealed:
        assert isinstance(call, Call) and not call.user and call.operation == "TLS"
        assert ("told_by", "volume") in call.details
    consoles_and_disk = 3
    assert len(sealed) == consoles_and_disk
    (disk,) = disks_of(said)  # NBD in clear, after a login that was not
    assert (disk.target.name, disk.operation_class) == (DISK, OperationClass.DISK)
    plain = {line["src"] for line in lines_of(NAME) if line["ev"] == "login"}
    logins = {
        f"{flow.client_ip}:{flow.client_port}" for flow, each, _ in said if isinstance(each, Login)
    }
    assert logins and logins < plain


def test_records_name_the_person_behind_a_ticket(tmp_path: Path) -> None:
    verdicts = judge(replayed(NAME, tmp_path), record_facts(lines_of(NAME)))
    assert verdicts.share_right("902 login") == 1.0, verdicts.examples
    assert verdicts.share_right("902 opened") == 1.0, verdicts.examples
    assert sum(counts.total() for counts in verdicts.counts.values()) > 40
