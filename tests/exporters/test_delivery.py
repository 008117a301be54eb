"""What became of each record is counted; one that harms stops no other."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from exporters.deadletter import DeadLetters
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.transport import Refused, Tree
from sensor.records import as_dict
from tests.exporters.couriers import NAME, Case, collector, ids, numbered, records, wait_for
from tests.exporters.receivers.process import python


def test_refused_records_become_dead_letters_and_harm_no_others(tmp_path: Path) -> None:
    sent = records(30)
    sent[7:9] = records(2, first=7, fault="poison", extra={"x": "poison"})
    with python("hec", tmp_path / "store", ack=True) as receiver:
        case = Case(tmp_path, collector(receiver.port))
        case.outbox.offer(sent)
        wait_for(lambda: case.count("written") == 28, "records")
        case.stop()
        good = [each for each in numbered(30) if each not in ("r7", "r8")]
        assert list(dict.fromkeys(ids(receiver))) == good
    assert (case.count("refused"), case.count("lost"), case.errors) == (2, 0, [])
    letters = [json.loads(line) for line in case.letters.read_text().splitlines()]
    assert [each["record"] for each in letters] == [as_dict(each) for each in sent[7:9]]
    for each in letters:
        assert each["sink"] == NAME
        assert each["reason"] == "400 Bad Request: Invalid data format (code 6)"
        assert each["refused"].endswith("+00:00")
    assert case.letters.stat().st_mode & 0o007 == 0


class Fragile:
    """A transport with a defect, as a format that trips over a record would be."""

    acknowledges = True

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.broken: Exception | None = None

    def send(self, trees: Sequence[Tree]) -> Sequence[Refused]:
        rendered = [fragile(tree) for tree in trees]
        if self.broken:
            raise self.broken
        self.taken += [each["ts"] for each in rendered]
        return []

    def probe(self) -> str:
        return "fragile"

    def close(self) -> None: ...


def fragile(tree: Tree) -> dict[str, Any]:
    if tree["ts"] % 10 == 3:
        raise KeyError("traffic")
    return dict(tree)


def test_a_record_that_cannot_be_rendered_stops_no_others(tmp_path: Path) -> None:
    transport = Fragile()
    case = Case(tmp_path, transport, format=Format("fragile", fragile))
    case.outbox.offer(records(30))
    case.stop()
    assert transport.taken == [ts for ts in range(1, 31) if ts % 10 != 3]
    assert (case.count("written"), case.count("refused")) == (27, 3)
    letters = [json.loads(line) for line in case.letters.read_text().splitlines()]
    assert Counter(each["reason"].split(" in ")[0] for each in letters) == {"defect: KeyError": 3}
    assert "traffic" not in " ".join(case.errors)


def test_a_defect_of_a_transport_is_an_error_that_may_pass(tmp_path: Path) -> None:
    transport = Fragile()
    transport.broken = RuntimeError("traffic")
    case = Case(tmp_path, transport, format=Format("fragile", dict))
    case.outbox.offer(records(2))
    wait_for(lambda: case.counts.errors.value(NAME) >= 2, "attempts")
    [line] = case.errors
    assert line.startswith("siem: defect: RuntimeError in test_delivery.py:")
    assert "traffic" not in line
    transport.broken = None
    wait_for(lambda: transport.taken == [1, 2], "records")
    case.stop()


def test_what_is_no_record_in_the_spool_costs_itself(tmp_path: Path) -> None:
    transport = Fragile()
    case = Case(tmp_path, transport)
    case.outbox.offer(records(1))
    wait_for(lambda: transport.taken == [1], "record")
    case.spool.append([b"\xc1", b"\x93"])
    case.outbox.offer(records(1, first=1))
    case.stop()
    assert transport.taken == [1, 2]
    assert case.count("lost") == 2
    [line] = case.errors
    assert line.startswith("siem: a record is lost: defect: ")


def test_a_defect_of_the_courier_itself_is_said_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Fragile()
    with monkeypatch.context() as patch:
        patch.setattr("exporters.courier.Courier._next_load", lambda self: 1 / 0)
        case = Case(tmp_path, transport)
        case.outbox.offer(records(2))
        wait_for(lambda: bool(case.errors), "error")
    wait_for(lambda: transport.taken == [1, 2], "records")
    case.stop()
    assert [line.split(" in ")[0] for line in case.errors] == ["siem: defect: ZeroDivisionError"]


def test_a_record_that_cannot_be_prepared_costs_itself(tmp_path: Path) -> None:
    transport = Fragile()
    case = Case(tmp_path, transport, prepare=lambda record: fragile(as_dict(record)))
    case.outbox.offer(records(30))
    case.stop()
    assert len(transport.taken) == 27
    assert (case.count("written"), case.count("lost")) == (27, 3)
    [line] = case.errors
    assert line.startswith("siem: a record is lost: defect: KeyError in ")
    assert case.outbox.failed is None


class Halting:
    """Takes some records of each batch, then fails."""

    acknowledges = True

    def __init__(self) -> None:
        self.taken: list[int] = []

    def send(self, trees: Sequence[Tree]) -> Sequence[Refused]:
        took = [each["ts"] for each in trees[:7]]
        self.taken += took
        if len(took) < len(trees):
            raise SinkError("halting", written=len(took))
        return []

    def probe(self) -> str:
        return "halting"

    def close(self) -> None: ...


def test_what_was_written_before_an_error_is_not_sent_again(tmp_path: Path) -> None:
    transport = Halting()
    case = Case(tmp_path, transport)
    case.outbox.offer(records(40))
    wait_for(lambda: case.count("written") == 40, "records")
    case.stop()
    assert transport.taken == list(range(1, 41))
    assert case.errors == ["siem: halting"]


def test_dead_letters_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.deadletter.FILE_BYTES", 1000)
    said: list[str] = []
    letters = DeadLetters(tmp_path / "refused" / "x.ndjson", "x", said.append)
    for number in range(200):
        letters.keep([({"id": f"r{number}"}, "no \udce9")])
    letters.close()
    files = list((tmp_path / "refused").iterdir())
    assert len(files) == 4 and all(path.stat().st_size <= 1000 for path in files)
    last = (tmp_path / "refused" / "x.ndjson").read_text().splitlines()[-1]
    assert json.loads(last)["record"] == {"id": "r199"}
    assert said == []


def test_letters_that_cannot_be_kept_are_said_once(tmp_path: Path) -> None:
    (tmp_path / "refused").write_text("")
    said: list[str] = []
    letters = DeadLetters(tmp_path / "refused" / "x.ndjson", "x", said.append)
    letters.keep([({"id": "a"}, "no")])
    letters.keep([({"id": "b"}, "no")])
    letters.close()
    assert said == [f"x: refused records are not kept: {tmp_path}/refused: File exists"]
