"""The chain captures, from packets to records, against what happened; with ids and without."""

import hashlib
import itertools
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import pytest

from decoders.message import Call, Message
from decoders.registry import transaction_decoders
from sensor import _core
from sensor.analysis import Analysis
from sensor.flows import Flow
from sensor.records import Record, Tls, as_dict
from sensor.settings import Settings
from sensor.streams import Streams, interest_of
from sensor.tls import TlsSeen
from sensor.workers import Watermark, Workers
from tests.packaged import capture_of, truth_of
from tests.truth import Body, Fact, Verdicts, evaluate, facts

Said = tuple[Flow, Message]


class Listener:
    """Takes an analysis' place: what was said, in order."""

    def __init__(self) -> None:
        self.said: list[Said] = []

    def message(
        self, flow: Flow, message: Message, visibility: str = "clear", tls: Tls | None = None
    ) -> list[Record]:
        assert (visibility, tls) == ("clear", None)
        self.said.append((flow, message))
        return []

    def tls(self, flow: Flow, seen: TlsSeen, time_ns: int) -> None:
        raise AssertionError("the chain captures have no TLS")

    def tapped(self, flow: Flow, time_ns: int) -> None:
        raise AssertionError("there is no tap")

    def gap(
        self, flow: Flow, direction: int, size_bytes: int, time_ns: int, tls: Tls | None = None
    ) -> list[Record]:
        raise AssertionError(f"{flow}: {size_bytes} bytes are missing")

    def proxy_header(
        self, flow: Flow, client_ip: str, client_port: int, time_ns: int, certificate: str = ""
    ) -> None:
        raise AssertionError("the chain captures have no proxy")

    def flow_end(self, flow: Flow, time_ns: int) -> list[Record]:
        return []

    def advance(self, watermark_ns: int) -> list[Record]:
        return []


def hashed(secret: str) -> str:
    return hashlib.blake2s(secret.encode(), digest_size=8).hexdigest()


def messages_of(name: str) -> list[Said]:
    decoders, listener = transaction_decoders(hashed), Listener()
    source = _core.Source(
        interest_of(decoders),
        asdict(Settings().limits),
        files=(str(capture_of(name)),),
    )
    streams = Streams(decoders, listener, contain=False)
    with closing(source):
        for event in Workers([source]):
            if not isinstance(event, Watermark):
                streams.event(event)
    return listener.said


def without_ids(said: list[Said]) -> Iterator[Said]:
    """As a cloud would have it that passes no id on, and a vCenter that does neither."""
    for flow, message in said:
        hidden: dict[str, Any] = {"operation_id": ""}
        if isinstance(message, Call):
            hidden["request_id"] = ""
        yield flow, replace(message, **hidden)


def judged(said: list[Said], truth: Body) -> Verdicts:
    numbers = itertools.count(1)
    analysis = Analysis(new_id=lambda _: f"r{next(numbers)}")
    records: list[Record] = []
    for flow, message in said:
        records += analysis.advance(message.end_ns)
        records += analysis.message(flow, message)
    records += analysis.finish()
    return evaluate(map(as_dict, records), truth)


@pytest.mark.parametrize("name", ["chain-small-clear", "chain-large-clear"])
def test_with_ids_every_change_has_its_head(name: str) -> None:
    truth, said = truth_of(name), messages_of(name)
    verdicts = judged(said, truth)
    assert sum(counts.total() for counts in verdicts.counts.values()) > 80
    assert verdicts.certain == 0
    assert verdicts.share_right("VCD", "VC", "ESX", "direct", "login") == 1.0, verdicts.examples
    hidden = judged(list(without_ids(said)), truth)
    assert hidden.certain == 0
    assert hidden.counts["ESX"]["wrong"] + hidden.counts["VC"]["wrong"] == 0, hidden.examples
    assert hidden.share_right("VCD", "login") == 1.0
    assert hidden.share_right("VC", "ESX") >= 0.9
    assert hidden.counts["ESX"]["ambiguous"] > 0  # rivals cannot be told apart


def shuffled(said: list[Said], by_ns: int) -> list[Said]:
    """As several sensors would deliver it, each late by its own lag."""
    numbers = random.Random(1)
    arrived = [(each[1].end_ns + numbers.randrange(by_ns), n) for n, each in enumerate(said)]
    return [said[n] for _, n in sorted(arrived)]


def noisy(said: list[Said], by_ns: int) -> Iterator[Said]:
    """Every server's clock is off by its own amount, and never quite steady."""
    numbers, offsets = random.Random(1), dict[str, int]()
    for flow, message in said:
        offset = offsets.setdefault(flow.server_ip, numbers.choice((-by_ns, by_ns)))
        moved_ns = offset + round(numbers.gauss(0, by_ns / 3))
        yield (
            flow,
            replace(message, time_ns=message.time_ns + moved_ns, end_ns=message.end_ns + moved_ns),
        )


def test_keys_decide_however_late_their_messages_come() -> None:
    name = "chain-large-clear"
    truth, said = truth_of(name), messages_of(name)
    verdicts = judged(shuffled(said, 1_500_000_000), truth)
    assert verdicts.share_right("VC", "ESX") == 1.0, verdicts.examples
    hidden = judged(shuffled(list(without_ids(said)), 50_000_000), truth)
    assert hidden.counts["ESX"]["wrong"] + hidden.counts["VC"]["wrong"] == 0, hidden.examples
    assert hidden.share_right("VC", "ESX") >= 0.9


def test_clocks_that_differ_change_little() -> None:
    name = "chain-small-clear"
    truth, said = truth_of(name), list(without_ids(messages_of(name)))
    steady, moved = judged(said, truth), judged(list(noisy(said, 100_000)), truth)
    assert moved.counts["ESX"]["wrong"] + moved.counts["VC"]["wrong"] == 0, moved.examples
    assert moved.share_right("VC", "ESX") >= steady.share_right("VC", "ESX") - 0.02


def test_of_twenty_calls_one_is_missed() -> None:
    name, numbers = "chain-large-clear", random.Random(1)
    truth, said = truth_of(name), list(without_ids(messages_of(name)))
    left = [each for each in said if not isinstance(each[1], Call) or numbers.random() > 0.05]
    verdicts = judged(left, truth)
    counts = verdicts.counts["VC"] + verdicts.counts["ESX"]
    assert counts["missing"] > 50
    assert counts["wrong"] <= 0.01 * counts["right"], verdicts.examples
    assert counts["right"] >= 0.75 * (counts.total() - counts["missing"])


CALL: Body = {
    "t0": 10.0,
    "t1": 10.01,
    "src": "1.1.1.1:5",
    "dst": "2.2.2.2:80",
    "method": "Destroy_Task",
    "fault": None,
}
TRUTH: Body = {
    "hosts": {"esx1": "4.4.4.4"},
    "chains": [
        {
            "user": "bob@acme",
            "method": "DELETE",
            "path": "/api/vApp/vapp-1",
            "status": 202,
            "t0": 9.0,
            "t1": 9.1,
            "src": "1.1.1.9:5",
            "dst": "1.1.1.1:80",
            "vcenter_calls": [CALL, {**CALL, "method": "Fetch"}],
            "esx_calls": [],
        }
    ],
    "direct_admin_calls": [{**CALL, "user": "root", "dst": "4.4.4.4:80"}],
    "uncaused_vcenter_calls": [],
    "uncaused_esx_calls": [],
}


def test_what_a_truth_file_asks_for() -> None:
    assert [(each.group, each.operation, each.path) for each in facts(TRUTH)] == [
        ("VCD", "DELETE vApp", "VCD:bob@acme"),
        ("VC", "Destroy_Task", "VCD:bob@acme:VC:vCloudService"),
        ("direct", "Destroy_Task", "ESX:root"),
    ]


def body(path: str, confidence: float, **more: Any) -> Body:
    return {
        "kind": "action",
        "id": "r1",
        "ts": 10_000_100_000,
        "ts_end": 10_000_200_000,
        "chain": {"path": path},
        "hop": {"confidence": confidence, "candidates": more.pop("candidates", [])},
        "from": {"ip": "1.1.1.1", "port": 5},
        "to": {"ip": "2.2.2.2", "port": 80},
        "op": {"name": "Destroy_Task"},
        "outcome": "success",
        **more,
    }


RIGHT = "VCD:bob@acme:VC:vCloudService"


@pytest.mark.parametrize(
    ("records", "verdict", "certain"),
    [
        ([], "missing", 0),
        ([body(RIGHT, 0.99)], "right", 0),
        ([body("VCD:eve@acme:VC:vCloudService", 0.94)], "wrong", 0),
        ([body("VCD:eve@acme:VC:vCloudService", 0.95)], "wrong", 1),
        ([body("?:?:VC:vCloudService", 0.0)], "unsure", 0),
        ([body("VCD:?", 0.5, candidates=[{"path": RIGHT}, {"path": "x"}])], "ambiguous", 0),
        ([body("VCD:?", 0.5, candidates=[{"path": "y"}, {"path": "x"}])], "wrong", 0),
        ([body(RIGHT, 0.99, ts=30_000_000_000, ts_end=30_000_100_000)], "missing", 0),
        ([body("x", 1.0), body(RIGHT, 0.9, kind="chain", id="r2", amends="r1")], "right", 0),
    ],
)
def test_how_records_are_judged(records: list[Body], verdict: str, certain: int) -> None:
    verdicts = evaluate(records, TRUTH)
    assert dict(verdicts.counts["VC"]) == {verdict: 1}
    assert verdicts.certain == certain


@pytest.mark.parametrize("account", ["appadmin", "CORP\\\\eve", "?"])
def test_the_account_in_a_guest_is_no_part_of_the_path_judged(account: str) -> None:
    below = {**CALL, "method": "StartProgramInGuest"}
    chains = [{**TRUTH["chains"][0], "vcenter_calls": [below]}]
    made = body(f"{RIGHT}:GST:{account}", 0.99, op={"name": "StartProgramInGuest"})
    assert dict(evaluate([made], {**TRUTH, "chains": chains}).counts["VC"]) == {"right": 1}


def test_calls_of_one_flow_are_matched_in_order() -> None:
    calls = [
        {**CALL, "t0": 10.0 + number / 100, "t1": 10.009 + number / 100} for number in range(3)
    ]
    truth = {**TRUTH, "direct_admin_calls": [], "chains": []}
    truth["chains"] = [
        {**TRUTH["chains"][0], "user": f"user{number}", "vcenter_calls": [call]}
        for number, call in enumerate(calls)
    ]
    records = [
        body(
            f"VCD:user{number}:VC:vCloudService",
            1.0,
            ts=10_000_900_000 + number * 10**7,
            ts_end=10_001_900_000 + number * 10**7,
            id=f"r{number}",
        )
        for number in range(3)
    ]
    assert dict(evaluate(records, truth).counts["VC"]) == {"right": 3}
    assert isinstance(next(iter(facts(truth))), Fact)
