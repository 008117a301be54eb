"""The evidence log: one chain, whatever the disk, a restart, a crash or an operator does."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporters import evidence
from exporters.chain import ORIGIN, Head, bind, canonical, read
from exporters.evidence import EvidenceSink, Plan, Signer, last_checkpoint, tail
from exporters.outbox import SinkError
from exporters.timestamp import TimestampError
from sensor.metrics import ExportCounts
from sensor.records import Record, as_dict
from tests.records import numbered

NS_PER_S = 10**9
PLAN = Plan()


@dataclass
class Desk:
    """Where a log is written, and what was said of it."""

    path: Path
    said: list[str] = field(default_factory=list)
    announced: list[str] = field(default_factory=list)
    counts: ExportCounts = field(default_factory=ExportCounts)
    now_ns: int = 1_763_730_000 * NS_PER_S

    def open(
        self,
        plan: Plan = PLAN,
        signer: Signer | None = None,
        stamp: Callable[[str], bytes] | None = None,
    ) -> EvidenceSink:
        self.counts.start("evidence", 1, lambda: 0)
        return EvidenceSink(
            self.path,
            self.counts,
            plan=plan,
            sensor="s1",
            report=self.said.append,
            announce=self.announced.append,
            signer=signer,
            stamp=stamp,
            clock_ns=lambda: self.now_ns,
        )

    def files(self) -> list[Path]:
        """Rotated ones first."""
        return [*sorted(self.path.parent.glob("evidence-*.ndjson")), self.path]

    def lines(self) -> list[dict[str, Any]]:
        """Of all files, after a look that they are one chain."""
        head, trees = Head(), []
        for path in self.files():
            assert path.read_bytes().startswith(b'{"evidence":"open"')
            for raw in path.read_bytes().splitlines(keepends=True):
                line = read(raw)
                assert line is not None and line.is_intact and line.follows(head)
                head = line.head
                trees.append(json.loads(raw))
        return trees

    def told(self) -> list[str]:
        """Marks by kind and reason, records by their task."""
        return [
            " ".join(filter(None, (each.get("evidence"), each.get("reason"), each.get("task"))))
            for each in self.lines()
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "evidence.ndjson")


def test_a_line_holds_the_record_and_its_place(desk: Desk) -> None:
    records = [numbered(1), numbered(2)]
    sink = desk.open()
    sink.write(records)
    sink.close()
    assert desk.told() == ["open new", "task-1", "task-2", "checkpoint", "close stopped"]
    for tree, record in zip(desk.lines()[1:3], records, strict=True):
        integrity = tree.pop("integrity")
        assert tree == as_dict(record)
        # As the documentation tells a receiver to compute it, without a line of ours.
        body = json.dumps(tree, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        text = f"{integrity['seq']}\n{integrity['prev']}\n".encode() + body
        assert sha256(text).hexdigest() == integrity["hash"]
    assert desk.lines()[0]["integrity"]["prev"] == ORIGIN


def test_a_restart_continues_the_chain(desk: Desk) -> None:
    for number in range(3):
        sink = desk.open()
        sink.write([numbered(number)])
        sink.close()
    run = ["task-{}", "checkpoint", "close stopped"]
    runs = [["open new" if n == 0 else "open started", *run] for n in range(3)]
    assert desk.told() == [each.format(n) for n, told in enumerate(runs) for each in told]


def test_a_crash_costs_the_half_line_only(desk: Desk) -> None:
    sink = desk.open()
    sink.write([numbered(1), numbered(2)])
    whole = desk.path.read_bytes()
    os.close(sink._file._descriptor)  # type: ignore[union-attr]  # as the kernel does
    desk.path.write_bytes(whole[:-700])
    again = desk.open()
    again.write([numbered(3)])
    again.close()
    assert desk.told() == [
        "open new", "task-1", "open started", "task-3", "checkpoint", "close stopped",
    ]  # fmt: skip
    (said,) = desk.said
    assert "cut half a line" in said


@pytest.mark.parametrize("rotated", [False, True])
def test_what_ends_in_no_chain_is_left_untouched(desk: Desk, rotated: bool) -> None:
    sink = desk.open()
    sink.write([numbered(1), numbered(2)])
    sink.close()
    changed = desk.path.read_bytes().replace(b"task-1", b"task-7")
    path = desk.path.with_name("evidence-000000000003.ndjson") if rotated else desk.path
    desk.path.rename(path)
    path.write_bytes(changed)
    with pytest.raises(SinkError, match=f"{path}: was changed after seq 0: `hoptap verify` it"):
        desk.open()
    assert path.read_bytes() == changed


def test_another_file_is_left_untouched(desk: Desk) -> None:
    desk.path.write_text('{"schema":"hop/1"}\n')
    with pytest.raises(SinkError, match="is no file of records"):
        desk.open()
    assert desk.path.read_text() == '{"schema":"hop/1"}\n'


def test_two_sensors_do_not_write_one_log(desk: Desk) -> None:
    sink = desk.open()
    with pytest.raises(SinkError, match="another process writes it"):
        desk.open()
    sink.close()


def test_files_by_size_are_one_chain(desk: Desk) -> None:
    sink = desk.open(Plan(rotate_bytes=4800))
    for number in range(12):
        sink.write([numbered(number)])
    sink.close()
    assert len(desk.files()) == 5
    assert [each for each in desk.told() if each.startswith("task")] == [
        f"task-{number}" for number in range(12)
    ]
    assert desk.told().count("close rotated") == desk.told().count("open rotated") == 4
    assert desk.counts.rotations.value("evidence") == 4


def test_a_file_a_day(desk: Desk) -> None:
    sink = desk.open(Plan(rotate_s=86_400))
    sink.write([numbered(1)])
    desk.now_ns += 86_400 * NS_PER_S
    sink.tick()
    sink.write([numbered(2)])
    sink.close()
    assert len(desk.files()) == 2


def test_a_crash_between_two_files_continues_the_last(desk: Desk) -> None:
    sink = desk.open()
    sink.write([numbered(1)])
    sink.close()
    desk.path.rename(desk.path.with_name("evidence-000000000003.ndjson"))
    sink = desk.open()
    sink.write([numbered(2)])
    sink.close()
    assert desk.told()[4:6] == ["open started", "task-2"]


def test_a_file_that_cannot_be_renamed_grows_on(desk: Desk) -> None:
    sink = desk.open(Plan(rotate_bytes=1000))
    desk.path.with_name("evidence-000000000002.ndjson").touch()
    sink.write([numbered(1)])
    sink.write([numbered(2)])
    assert "cannot rotate: evidence-000000000002.ndjson is there already" in desk.said[0]
    desk.path.with_name("evidence-000000000002.ndjson").unlink()
    sink.close()
    assert desk.told()[2:5] == ["close rotated", "open rotated", "task-2"]


def test_hangup_after_a_move_begins_a_new_file(desk: Desk) -> None:
    sink = desk.open()
    sink.write([numbered(1)])
    sink.reopen()  # nobody moved it
    moved = desk.path.with_name("evidence-moved.ndjson")
    desk.path.rename(moved)
    sink.reopen()
    sink.write([numbered(2)])
    sink.close()
    assert b'"reason":"moved"' in moved.read_bytes().splitlines()[-1]
    assert desk.told()[2:5] == ["close moved", "open moved", "task-2"]


def test_a_checkpoint_by_count_and_by_time(desk: Desk) -> None:
    sink = desk.open(Plan(checkpoint_records=3, checkpoint_s=60))
    sink.write([numbered(1), numbered(2)])
    sink.tick()
    assert desk.announced == []
    sink.write([numbered(3)])
    assert desk.announced == [f"evidence: checkpoint {sink.head}"]
    desk.now_ns += 61 * NS_PER_S
    sink.tick()  # nothing new
    sink.write([numbered(4)])
    assert len(desk.announced) == 2
    assert sink.checkpoint == sink.head and sink.checkpoint_ns == desk.now_ns
    sink.close()


@pytest.mark.parametrize("block_bytes", [1, 60, 1 << 20])
def test_a_restart_knows_the_last_checkpoint(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    sink = desk.open(Plan(checkpoint_records=2))
    assert (sink.checkpoint, sink.checkpoint_ns) == (Head(), 0)
    sink.write([numbered(1), numbered(2)])
    known = sink.checkpoint, sink.checkpoint_ns
    assert known == (sink.head, desk.now_ns)
    sink.write([numbered(3)])
    desk.now_ns += 60 * NS_PER_S
    sink._mark("close", reason="rotated")
    sink._file.close()  # type: ignore[union-attr]  # as a killed process
    last = tail(desk.path)
    monkeypatch.setattr(evidence, "TAIL_BYTES", block_bytes)
    assert last_checkpoint([desk.path]) == known
    desk.path.rename(desk.path.with_name(f"evidence-{last.seq:012d}.ndjson"))
    assert last_checkpoint(desk.files()[:1]) == known
    monkeypatch.undo()
    again = desk.open()
    assert (again.checkpoint, again.checkpoint_ns) == known
    again.write([numbered(4)])
    again._file.close()  # type: ignore[union-attr]
    assert desk.open().checkpoint == known[0]


def test_a_checkpoint_that_was_changed_is_none(desk: Desk) -> None:
    sink = desk.open(Plan(checkpoint_records=1))
    sink.write([numbered(1)])
    sink.close()
    whole = desk.path.read_bytes()
    assert last_checkpoint([desk.path])[0].seq == 2
    desk.path.write_bytes(
        whole.replace(b'"checkpoint","of":{"hash":"', b'"checkpoint","of":{"hush":"')
    )
    assert last_checkpoint([desk.path]) == (Head(), 0)


def test_an_authority_that_fails_holds_nothing_up(desk: Desk) -> None:
    def stamp(digest: str) -> bytes:
        raise TimestampError("http://tsa.test: Connection refused")

    sink = desk.open(Plan(checkpoint_records=1), stamp=stamp)
    sink.write([numbered(1)])
    sink.write([numbered(2)])
    sink.close()
    assert desk.said == ["evidence: no time stamp: http://tsa.test: Connection refused"]
    assert sink._anchors.value("failed") == 2
    assert desk.told().count("checkpoint") == 2


def test_a_full_disk_costs_no_link(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=True)
    try:
        desk = Desk(disk / "evidence.ndjson")
        sink = desk.open()
        records: Sequence[Record] = [numbered(number) for number in range(20)]
        with pytest.raises(SinkError, match="No space left") as caught:
            sink.write(records)
        assert 0 < caught.value.written < 20
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        sink.write(records[caught.value.written :])
        sink.close()
        tasks = [each for each in desk.told() if each.startswith("task")]
        assert tasks == [f"task-{number}" for number in range(20)]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_disk_full_from_the_start_heals(desk: Desk) -> None:
    sink = desk.open()
    file, full = sink._file, os.open("/dev/full", os.O_WRONLY)
    assert file is not None
    file._descriptor, good = full, file._descriptor
    file._regular = False
    for _ in range(2):
        with pytest.raises(SinkError, match="No space left") as caught:
            sink.write([numbered(1)])
        assert caught.value.written == 0
    file._descriptor, file._regular = good, True
    os.close(full)
    sink.write([numbered(1)])
    sink.close()
    assert desk.told()[:2] == ["open new", "task-1"]


def test_no_bit_of_a_line_can_be_another() -> None:
    """All of them: the text, the number, both hashes, the newline."""
    line, _ = bind(Head(41, "ab" * 32), canonical({"kind": "login", "ts": 7, "user": "Зоя"}))
    found = read(line)
    assert found is not None and found.is_intact and found.seq == 42
    for bit in range(8 * len(line)):
        other = bytearray(line)
        other[bit // 8] ^= 1 << bit % 8
        changed = read(bytes(other))
        assert changed is None or not changed.is_intact, bit


texts = st.text(max_size=30) | st.just('","integrity":{"hash":"') | st.just("\udc80\r\n\x00")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_no_text_of_the_traffic_breaks_a_line(pairs: list[tuple[str, str]]) -> None:
    head, raw = Head(), []
    bodies = [canonical(as_dict(numbered(1, fault=one, extra={"x": two}))) for one, two in pairs]
    for body in bodies:
        line, head = bind(head, body)
        assert line.count(b"\n") == 1
        raw.append(line)
    found = [read(line) for line in raw]
    assert [each.body for each in found if each] == bodies
    assert all(each and each.is_intact and each.mark is None for each in found)
