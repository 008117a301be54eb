"""Calls read from lines of JSON, assignments written; what is wrong is said with file and line."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sensor.cli import main
from sensor.correlate.spans import (
    NOT_SEEN,
    Assignment,
    Candidate,
    read_inventory,
    read_spans,
    smallest_set,
    write_assignments,
)
from sensor.exits import Exit, InputError

CALL: dict[str, Any] = {
    "id": 1,
    "caller": "client",
    "callee": "VC",
    "endpoint": "PowerOnVM_Task",
    "start_ns": 1000,
    "end_ns": 2000,
}


def written(path: Path, *lines: str) -> str:
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.mark.parametrize("name", ["spans.ndjson", "spans.ndjson.gz"])
def test_a_call_is_read(tmp_path: Path, name: str) -> None:
    more = {"id": "b", "done_ns": 5000, "srv_start_ns": 1100, "target": "vm-1", "status": "fault"}
    path = written(tmp_path / name, json.dumps(CALL), "", json.dumps(CALL | more))
    first, second = read_spans(path)
    assert (first.id, first.served_ns, first.replied_ns, first.done_ns) == (1, 1000, 2000, NOT_SEEN)
    assert (first.target, first.operation_id, first.failed) == ("", "", False)
    assert (second.id, second.served_ns, second.replied_ns, second.done_ns) == (
        "b",
        1100,
        2000,
        5000,
    )
    assert (second.target, second.failed) == ("vm-1", True)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("7", "not an object"),
        (json.dumps(CALL), "id 1 is taken"),
        (json.dumps(CALL | {"id": None}), "id: a number or text is needed"),
        (json.dumps(CALL | {"id": 2, "caller": 7}), "caller: text is needed"),
        (json.dumps(CALL | {"id": 2, "start_ns": 1.5}), "start_ns: a time in ns is needed"),
        (json.dumps(CALL | {"id": 2, "start_ns": 3000}), "end_ns is before start_ns"),
        (json.dumps(CALL | {"id": 2, "end_ns": 1 << 63}), "end_ns: a time in ns is needed"),
        ('"' + "x" * (1 << 20) + '"', "longer than 1,048,576 bytes"),
    ],
)
def test_what_is_no_call_is_named_by_its_line(tmp_path: Path, line: str, problem: str) -> None:
    path = written(tmp_path / "spans.ndjson", json.dumps(CALL), line)
    with pytest.raises(InputError) as raised:
        read_spans(path)
    assert raised.value.lines == (f"{path}:2: {problem}",)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.ndjson")
    with pytest.raises(InputError, match="No such file"):
        read_spans(missing)
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress(json.dumps(CALL).encode() * 100)[:-10])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_spans(str(cut))
    bad = tmp_path / "bad.ndjson"
    bad.write_bytes(json.dumps(CALL).encode() + b"\n\xff\n")
    with pytest.raises(InputError, match=r"bad\.ndjson:2: not UTF-8"):
        read_spans(str(bad))


def test_an_inventory_is_pairs(tmp_path: Path) -> None:
    maps = {"vapp_vms": {"vapp-1": ["vm-1", "vm-2"]}, "vm_local": {"vm-1": "ESX01/7"}}
    path = written(tmp_path / "inventory.json.gz", json.dumps(maps))
    assert read_inventory(path) == [("vapp-1", "vm-1"), ("vapp-1", "vm-2"), ("vm-1", "ESX01/7")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{\n{", ":2: not JSON"),
        ("[]", ": an object of maps is needed"),
        ('{"a": 1}', ": an object of maps is needed"),
        ('{"a": {"b": 1}}', ": a: b: an id or a list of ids is needed"),
    ],
)
def test_what_is_no_inventory(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path / "inventory.json", text)
    with pytest.raises(InputError) as raised:
        read_inventory(path)
    assert raised.value.lines == (path + problem,)


def test_assignments_are_written_as_they_are_scored(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    write_assignments(
        str(path),
        [
            Assignment(7, 3, 0.9, (Candidate(3, 0.9), Candidate(None, 0.1))),
            Assignment("x", None, 1, ()),
        ],
    )
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {
        "id": 7,
        "parent": 3,
        "p": 0.9,
        "candidates": [{"parent": 3, "p": 0.9}, {"parent": None, "p": 0.1}],
    }
    assert second == {"id": "x", "parent": None, "p": 1, "candidates": []}


def test_the_smallest_set() -> None:
    shares = [Candidate(1, 0.02), Candidate(2, 0.55), Candidate(3, 0.4), Candidate(4, 0.03)]
    assert [each.parent for each in smallest_set(shares)] == [2, 3]
    assert [each.parent for each in smallest_set(shares, 0.96)] == [2, 3, 4]


def test_the_command_says_what_is_wrong_in_a_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spans = written(tmp_path / "spans.ndjson", json.dumps(CALL), "{")
    out = tmp_path / "out.ndjson"
    assert main(["correlate", "--spans", spans, "--out", str(out)]) == Exit.INPUT
    assert capfd.readouterr().err == f"hoptap: error: {spans}:2: not JSON\n"
    assert not out.exists()
    written(tmp_path / "spans.ndjson", json.dumps(CALL))
    nowhere = str(tmp_path / "no" / "where")
    assert main(["correlate", "--spans", spans, "--out", nowhere]) == Exit.OUTPUT
    assert main(["correlate", "--spans", spans]) == Exit.USAGE
    assert main(["correlate", "--spans", spans, "--out", str(out), "--workers", "0"]) == Exit.USAGE
    capfd.readouterr()
    assert main(["correlate", "--spans", spans, "--out", spans]) == Exit.USAGE
    assert json.loads(Path(spans).read_text()) == CALL
    assert "writing there would destroy it" in capfd.readouterr().err
    assert main(["correlate", "--spans", spans, "--out", str(out)]) == Exit.OK
    assert capfd.readouterr().err == "hoptap: 1 calls, of 0 a parent was found\n"
    assert main(["correlate", "--spans", spans, "--out", "-"]) == Exit.OK
    assert capfd.readouterr().out == out.read_text()
    nothing = written(tmp_path / "nothing.ndjson", "")
    assert main(["correlate", "--spans", nothing, "--out", str(out)]) == Exit.INPUT
    assert json.loads(out.read_text()) == {"id": 1, "parent": None, "p": 1.0, "candidates": []}
