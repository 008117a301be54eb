"""Records as syslog messages: header, structured data, escaping, size."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.formats.rfc5424 import DATAGRAM_BYTES_MAX, cut, envelope, leaves, message
from sensor.records import (
    Chain,
    Client,
    Endpoint,
    Evidence,
    Hop,
    ObjectRef,
    Operation,
    Record,
    SensorRef,
    as_dict,
)
from tests.lab.syslogtext import read

CAPTURES = Path(__file__).parents[1] / "captures"
TS = 1_795_291_698_936_416_789
RECORD = Record(
    kind="action",
    ts=TS,
    id="0199e0f4",
    chain=Chain("c1", "VCD:bob:VC:svc", ("bob", "svc"), ("VCD", "VC"), 2),
    hop=Hop(1, 2, "VC", "svc", "explicit", 1.0, "0199e0f3", evidence=(Evidence("ticket", "t"),)),
    source=Endpoint(ip="10.0.0.1", port=40001),
    to=Endpoint(ip="10.0.0.2", port=443, service="VC", user="svc"),
    op=Operation("Destroy_Task", "vim25", "delete"),
    target=ObjectRef("VirtualMachine", "vm-1", 'web "1" [a]\\b'),
    outcome="failure",
    fault="NoPermission",
    sensor=SensorRef("sensor-1", "span0", "1.0"),
)
# Control characters cannot be escaped; UTF-8 has no surrogates.
VISIBLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def visible(text: str) -> str:
    return VISIBLE.sub(
        lambda found: f"#{ord(found[0]):03o}" if found[0] < "\x80" else f"\\u{ord(found[0]):04x}",
        text,
    )


def params(data: bytes) -> list[tuple[str, str]]:
    return read(data).elements["hop@32473"]


def test_a_message_to_the_byte() -> None:
    assert message(as_dict(RECORD), sequence=7).decode() == (
        "<110>1 2026-11-21T20:08:18.936416Z sensor-1 hoptap - action "
        '[hop@32473 schema="hop/1" kind="action" ts="1795291698936416789" id="0199e0f4" '
        'visibility="clear" chain.id="c1" chain.path="VCD:bob:VC:svc" chain.users.0="bob" '
        'chain.users.1="svc" chain.services.0="VCD" chain.services.1="VC" chain.depth="2" '
        'hop.index="1" hop.count="2" hop.service="VC" hop.user="svc" hop.parent_id="0199e0f3" '
        'hop.cause="explicit" hop.confidence="1.0" hop.evidence.0.key="ticket" '
        'hop.evidence.0.value="t" from.ip="10.0.0.1" from.port="40001" to.ip="10.0.0.2" '
        'to.port="443" to.service="VC" to.user="svc" op.name="Destroy_Task" op.api="vim25" '
        'op.class="delete" target.type="VirtualMachine" target.id="vm-1" '
        'target.name="web \\"1\\" [a\\]\\\\b" outcome="failure" fault="NoPermission" '
        'sensor.id="sensor-1" sensor.iface="span0" sensor.version="1.0"]'
        '[origin software="hoptap" swVersion="1.0"][timeQuality tzKnown="1"]'
        '[meta sequenceId="7"] \ufeff'
        'svc called Destroy_Task on VirtualMachine web "1" [a]\\b at VC 10.0.0.2 from 10.0.0.1: '
        "failure, NoPermission; chain VCD:bob:VC:svc"
    )


def test_every_recorded_record_reads_back() -> None:
    lines = [
        line for path in CAPTURES.glob("*/records.ndjson") for line in path.read_text().splitlines()
    ]
    assert len(lines) > 500
    for line in lines:
        tree = json.loads(line)
        assert params(message(tree)) == leaves(tree)


@pytest.mark.parametrize(
    ("kind", "cause", "priority"),
    [
        ("login", "none", 110),
        ("action", "explicit", 110),
        ("action", "ambiguous", 110),
        ("action", "none", 108),
        ("chain", "none", 110),
        ("alert", "explicit", 108),
        ("gap", "", 108),
    ],
)
def test_priority(kind: str, cause: str, priority: int) -> None:
    hop = Hop(0, 1, "VC", "bob", cause, 0.0) if cause else None
    data = message(as_dict(Record(kind=kind, ts=TS, hop=hop, gap_bytes=5, reason="r")))
    assert read(data).priority == priority


@pytest.mark.parametrize(
    ("sensor", "host"),
    [("", "-"), ("sensor-1", "sensor-1"), ("a b\tcé", "a_b_c_"), ("x" * 300, "x" * 255)],
)
def test_host_is_the_sensor(sensor: str, host: str) -> None:
    found = read(message(as_dict(Record(kind="login", ts=TS, sensor=SensorRef(sensor)))))
    assert (found.host, found.app, found.process, found.kind) == (host, "hoptap", "-", "login")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (
            Record(kind="login", ts=1, to=Endpoint("10.0.0.2", 443, "VC", "bob"), outcome="success",
                   source=Endpoint("10.0.0.1")),
            "bob logged in to VC 10.0.0.2 from 10.0.0.1: success",
        ),
        (
            Record(kind="logout", ts=1, to=Endpoint("10.0.0.2", 443, "VC")),
            "somebody unknown logged out of VC 10.0.0.2",
        ),
        (
            Record(kind="gap", ts=1, source=Endpoint("10.0.0.1"), to=Endpoint("10.0.0.2"),
                   gap_bytes=1460, reason="lost"),
            "1460 bytes were not seen between 10.0.0.1 and 10.0.0.2; lost",
        ),
        (
            Record(kind="alert", ts=1, reason="ticket_reused", op=Operation("Login", "", "login"),
                   to=Endpoint(service="VC", user="eve\nroot")),
            "alert ticket_reused: eve#012root called Login at VC",
        ),
        (
            Record(kind="chain", ts=1, amends="0199", reason="closed", op=Operation("X", "", ""),
                   to=Endpoint(service="VC", user="bob")),
            "record 0199 is amended: bob called X at VC; closed",
        ),
    ],
)  # fmt: skip
def test_a_sentence_for_people(record: Record, sentence: str) -> None:
    found = read(message(as_dict(record)))
    assert (found.text, found.marked) == (sentence, True)


texts = st.text(st.characters(), max_size=60) | st.text('"]\\[= \n\0é😀', max_size=600)


@given(texts, texts, st.dictionaries(texts, texts, max_size=4), st.integers(0, 2**31 - 1))
def test_any_text_reads_back(user: str, agent: str, extra: dict[str, str], sequence: int) -> None:
    tree = as_dict(
        Record(
            kind="login", ts=TS, id="0199", to=Endpoint(user=user), client=Client(agent),
            sensor=SensorRef(user), extra=extra,
        )
    )  # fmt: skip
    data = message(tree, sequence=sequence)
    assert len(data) <= 8192
    assert not re.search(b"[\0-\x1f\x7f]", data)
    found = dict(params(data))
    if "cut" not in found:
        assert [value for _, value in params(data)] == [visible(value) for _, value in leaves(tree)]
        assert len(found) == len(leaves(tree))


@given(texts, st.lists(texts, max_size=40), st.dictionaries(texts, texts, max_size=30))
def test_what_is_too_large_is_cut_to_its_size(
    user: str, users: list[str], extra: dict[str, str]
) -> None:
    tree = as_dict(
        Record(
            kind="login", ts=TS, id="0199", to=Endpoint(user=user * 10), fault=user * 20,
            chain=Chain("c", user, tuple(users), (), 1), extra=extra, client=Client("agent " * 99),
        )
    )  # fmt: skip
    data = message(tree, bytes_max=DATAGRAM_BYTES_MAX, sequence=2_147_483_647)
    assert len(data) <= DATAGRAM_BYTES_MAX
    found = dict(params(data))
    assert found["id"] == "0199"
    whole = dict(params(message(tree, bytes_max=1 << 30)))
    missed = int(found.pop("cut", "0"))
    assert missed == sum(found.get(name) != value for name, value in whole.items())
    # The cut is made in the text, so what is left begins it; an escape is never cut in two.
    assert all(
        whole[name].startswith(value) or visible(value) in whole[name]
        for name, value in found.items()
    )


def test_what_says_least_is_left_out_first() -> None:
    evidence = tuple(Evidence(f"key{number}", "value " * 9, "proved") for number in range(40))
    hop = Hop(0, 1, "VC", "bob", "explicit", 1.0, evidence=evidence)
    tree = as_dict(Record(kind="action", ts=TS, id="0199", hop=hop, outcome="success", task="t1"))
    names = [name for name, _ in params(message(tree, bytes_max=DATAGRAM_BYTES_MAX))]
    least = [name for name, _ in leaves(tree) if not name.startswith("hop.evidence.")]
    assert [name for name in names if not name.startswith("hop.evidence.")] == [*least, "cut"]
    assert any(name.startswith("hop.evidence.") for name in names)


@given(st.text(st.characters()), st.integers(0, 40))
def test_a_cut_is_between_characters(text: str, bytes_max: int) -> None:
    found = cut(text, bytes_max)
    assert text.startswith(found)
    encoded = found.encode("utf-8", "surrogatepass")
    assert len(encoded) <= bytes_max
    assert found == text or len(text[: len(found) + 1].encode("utf-8", "surrogatepass")) > bytes_max


def test_a_cut_keeps_what_is_no_utf_8() -> None:
    assert cut("a\ud800b", 4) == "a\ud800"
    assert cut("a\ud800b", 3) == "a"


def test_another_format_goes_into_the_text() -> None:
    tree: dict[str, Any] = as_dict(RECORD)
    found = read(envelope(tree, b'{"a":1}', sequence=3))
    assert (found.text, found.marked, found.kind) == ('{"a":1}', False, "action")
    assert found.elements == {"meta": [("sequenceId", "3")]}
    assert read(envelope(tree, b"CEF:1|x")).elements == {}
