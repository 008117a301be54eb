"""Recorded TLS with its secrets: the same records as in clear, or those the truth asks for."""

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest

from sensor import _core
from sensor.settings import Settings
from tests.command import Record
from tests.packaged import calls_of, capture_of, replayed, tls_secrets_of, truth_of
from tests.truth import Body, Verdicts, evaluate
from tests.twins import told

IN_CLEAR = "direct-clear-pyvmomi"
TOURS = {
    "direct-tls13-pyvmomi": ("TLS 1.3", "keylog"),
    "direct-tls12-ecdhe-pyvmomi": ("TLS 1.2", "keylog"),
    "direct-tls12-rsa-pyvmomi": ("TLS 1.2", "rsa"),
}
KEY_LOG = 1  # sensor/core/tls.h
# What govc asks that changes nothing, and makes only what its session needs.
GOVC_READS = ("Retrieve", "WaitFor", "Search", "CurrentTime", "Create", "Destroy", "Set", "Reset")
# The truth file of chain-small-tls has this call of alice's request under a request of bob's.
MISTOLD = "f002a0ad-632b-4ba1-b051-f0f092775188-fe"


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize("name", TOURS)
def test_a_tour_is_told_as_in_clear(name: str, workers: str, tmp_path: Path) -> None:
    version, source = TOURS[name]
    in_clear = replayed(IN_CLEAR, tmp_path)
    decrypted = replayed(name, tmp_path, "--workers", workers)
    of_tls, said = {each["visibility"] for each in decrypted}, [each["tls"] for each in decrypted]
    assert of_tls == {"decrypted"}
    assert {(tls["version"], tls["key_source"]) for tls in said} == {(version, source)}
    # Two more logins of the script have a client certificate, which there is in TLS only.
    with_certificate = [each for each in decrypted if certified(each)]
    assert [each["op"]["name"] for each in with_certificate] == [
        "LoginExtensionByCertificate",
        "LoginExtensionBySubjectName",
    ]
    assert {each["chain"]["path"] for each in with_certificate} == {"VC:com.lab.extension"}
    rest = [each for each in decrypted if each not in with_certificate]
    kinds = Counter(each["kind"] for each in rest)
    assert kinds == {"login": 15, "logout": 4, "action": 23, "alert": 1}
    # In clear there is more to warn of.
    exposed = [each for each in in_clear if each.get("reason") == "guest_credentials_unencrypted"]
    assert len(exposed) == 1
    assert told(rest) == told(each for each in in_clear if each not in exposed)


def certified(record: Record) -> bool:
    return (record["op"].get("method"), record["outcome"]) == ("certificate", "success")


def judged(name: str, truth: Body, directory: Path) -> Verdicts:
    records = replayed(name, directory)
    assert {each["visibility"] for each in records} == {"decrypted"}
    return evaluate(records, truth)


def test_a_chain_over_tls_has_its_heads(tmp_path: Path) -> None:
    truth = truth_of("chain-small-tls")
    dropped = 0
    for chain in truth["chains"]:
        kept = [call for call in chain["esx_calls"] if call["opid"] != MISTOLD]
        if chain["user"] == "bob@acme":
            dropped += len(chain["esx_calls"]) - len(kept)
            chain["esx_calls"] = kept
    assert dropped == 1
    verdicts = judged("chain-small-tls", truth, tmp_path)
    assert sum(counts.total() for counts in verdicts.counts.values()) > 80
    assert verdicts.share_right("VCD", "VC", "ESX", "direct", "login") == 1.0, verdicts.examples


def test_a_chain_over_tls_without_ids_names_nobody_wrongly(tmp_path: Path) -> None:
    verdicts = judged("chain-small-noopid-tls", truth_of("chain-small-noopid-tls"), tmp_path)
    assert sum(counts.total() for counts in verdicts.counts.values()) > 80
    assert verdicts.share_right("VCD", "direct", "login") == 1.0
    assert verdicts.share_right("VC", "ESX") >= 0.8
    for counts in verdicts.counts.values():
        assert counts["wrong"] + counts["missing"] + counts["unsure"] == 0, verdicts.examples


def test_one_session_file_of_many_processes(tmp_path: Path) -> None:
    """govc: 16 processes, one cookie, each call on a connection of its own."""
    asked = [call for call in calls_of("direct-tls13-govc") if call["ev"] == "call"]
    changes = [call for call in asked if changing(call["method"])]
    found = [each for each in replayed("direct-tls13-govc", tmp_path) if each["kind"] == "action"]
    assert len(changes) == 8
    assert {each["tls"]["version"] for each in found} == {"TLS 1.3"}
    assert [action_of(each) for each in sorted(found, key=lambda each: int(each["ts"]))] == [
        (call["src"], call["method"], call["opid"], call["user"]) for call in changes
    ]


def changing(method: str) -> bool:
    named = ("CreateSnapshot_Task", "Destroy_Task")
    return method in named or not method.startswith((*GOVC_READS, "Login", "Logout"))


def action_of(record: Record) -> tuple[str, str, str, str]:
    sender, op = record["from"], record["op"]
    return f"{sender['ip']}:{sender['port']}", op["name"], op["id"], record["to"]["user"]


def test_every_resumed_connection_is_opened() -> None:
    """TLS 1.2 tickets and TLS 1.3 PSKs; nobody asked anything but the time."""
    name, operations = "tls-resumption", Counter[str]()
    source = _core.Source(
        _core.Interest(),
        asdict(Settings().limits),
        files=(str(capture_of(name)),),
        decrypt=True,
    )
    resumed: dict[int, bool] = {}
    with closing(source):
        assert source.add_secrets(tls_secrets_of(name), KEY_LOG)
        end = False
        while not end:
            batch = source.fill(100)
            # the last word on each flow
            resumed |= {flow: value[7] for kind, flow, *_, value in batch if kind == _core.TLS}
            end = batch.end
        counters = source.counters()
        for _, operation, *outcomes in source.operations():
            operations[operation] += sum(outcomes)
    calls = calls_of(name)
    assert counters["tls_sessions_decrypted"] == counters["flows"] == len(calls) == 6
    assert operations == Counter(call["method"] for call in calls)
    assert Counter(resumed.values()) == {False: 2, True: 4}
