"""The command as a user meets it: exit codes, one line per error, and nothing lost on the way."""

import gzip
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sensor.exits import MEANING, Exit
from tests.command import DEMO_CAPTURE, ROOT, hoptap, read_records, write_config

COMMAND = [sys.executable, "-m", "sensor.cli"]
TIMEOUT_S = 60


def error_of(*arguments: str | Path, exit_code: Exit) -> str:
    """The one line that a failing command says."""
    done = hoptap(*arguments, exit_code=exit_code)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line.removeprefix("hoptap: error: ")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("history")
    path = directory / "history.db"
    hoptap("replay", DEMO_CAPTURE, "--out", directory / "out.ndjson", "--history", path)
    return path


def test_help_names_every_command_and_exit_code() -> None:
    text = hoptap("--help").stdout
    for command in ("replay", "run", "who", "check", "demo", "version"):
        assert re.search(rf"^    {command} ", text, re.MULTILINE)
        assert hoptap(command, "--help").stdout.startswith(f"usage: hoptap {command}")
    for code, meaning in MEANING.items():
        assert re.search(rf"^ +{code.value}  {re.escape(meaning)}$", text, re.MULTILINE)
    assert set(MEANING) == set(Exit)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "the following arguments are required: COMMAND; see hoptap --help"),
        (("replay",), "the following arguments are required: FILE; see hoptap replay --help"),
        (("replay", "--workers", "x", "f"), "argument --workers: invalid int value: 'x'; "),
        (("replay", "--workers", "0", "f"), "--workers: 0 is below 1"),
        (("replay", "--workers", "2", "-"), "- can be read once only: use --workers 1"),
        (
            ("replay", "bad\udcff.pcap"),
            r"'bad\udcff.pcap' is not UTF-8: rename it, or use standard",
        ),
        (("who", ""), "TARGET is empty: * is everything"),
        (("replay", "-", "-"), "- can be read once only: name it once"),
        (("replay", "--out", "x", "--history", "./x", "f"), "--out and --history name the same"),
        (("replay", "--format", "table", "--out", "x", "f"), "--format table goes to standard"),
        (("run", "-i", "no/such"), "--interface: 'no/such' is no interface name"),
        (("run", "-i", "lo", "--duration", "-1"), "argument --duration: '-1' is no number of"),
        (("run", "--tap", "/lib/libssl.so.3"), "--tap /lib/libssl.so.3: reads every process that"),
        (("run", "--tap-keys", "/a"), "--tap-keys /a: reads every process that uses it: say --tap"),
        (("who", "x", "--since", "then"), "'then' is no time: write 2h, 14:00, 2026-11-21"),
        (("who", "x", "--limit", "0"), "--limit: must be at least 1"),
        (("who", "x", "--limit", f"{1 << 64}"), "--limit: must be at least 1"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    assert error_of(*arguments, exit_code=Exit.USAGE).startswith(line)


def test_run_needs_an_interface(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    line = error_of("run", "-c", config, exit_code=Exit.USAGE)
    assert line == "no interface: name one with -i, or in capture.interfaces"


def test_every_problem_of_a_configuration_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[capture]\nworkers = 0\nring_byte = 1\n")
    problems = [
        f"{path}:2: capture.workers: 0 is below 1",
        f"{path}:3: capture.ring_byte: unknown key; did you mean ring_bytes?",
    ]
    done = hoptap("replay", "-c", path, DEMO_CAPTURE, exit_code=Exit.CONFIGURATION)
    assert done.stderr.splitlines() == [f"hoptap: error: {line}" for line in problems]
    done = hoptap("check", "-c", path, exit_code=Exit.NO)
    assert done.stdout.splitlines() == [f"problem  configuration: {line}" for line in problems]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"no capture", ""), (b"", "")],
)
def test_an_input_that_is_no_capture_leaves_the_output_alone(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    capture, out = tmp_path / "in.pcap", tmp_path / "out.ndjson"
    out.write_text("precious")
    if content is not None:
        capture.write_bytes(content)
    line = error_of("replay", capture, "--out", out, exit_code=Exit.INPUT)
    assert str(capture) in line and reason in line
    assert out.read_text() == "precious"


def test_records_before_a_truncation_are_all_written(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.ndjson", tmp_path / "cut.ndjson"
    hoptap("replay", DEMO_CAPTURE, "--out", whole, "--quiet")
    capture = tmp_path / "cut.pcap.gz"
    capture.write_bytes(DEMO_CAPTURE.read_bytes()[:-2000])
    done = hoptap("replay", capture, "--out", cut, "--quiet", exit_code=Exit.INPUT)
    (line,) = done.stderr.splitlines()
    assert str(capture) in line
    assert 0 < len(read_records(cut)) <= len(read_records(whole))


@pytest.mark.parametrize("option", ["--out", "--history"])
def test_a_capture_is_not_overwritten_by_its_records(tmp_path: Path, option: str) -> None:
    capture, other_name = tmp_path / "a.pcap.gz", tmp_path / "b"
    capture.write_bytes(DEMO_CAPTURE.read_bytes())
    other_name.symlink_to(capture)
    line = error_of("replay", capture, option, other_name, exit_code=Exit.USAGE)
    assert line == f"{capture} is to be read: writing there would destroy it"
    assert capture.read_bytes() == DEMO_CAPTURE.read_bytes()


def test_records_go_to_standard_output_and_news_to_standard_error() -> None:
    done = hoptap("replay", DEMO_CAPTURE)
    kinds = {json.loads(line)["kind"] for line in done.stdout.splitlines()}
    assert kinds >= {"login", "action"}
    assert re.fullmatch(
        r"hoptap: 2,115 packets, [\d.]+ kB in [\d.]+ s \([\d.]+ [kM]?B/s\): .*\d+ logins.*\n",
        done.stderr,
    )
    assert hoptap("replay", "--quiet", DEMO_CAPTURE).stderr == ""


def test_a_table_can_be_had_instead() -> None:
    lines = hoptap("replay", "--quiet", "--format", "table", DEMO_CAPTURE).stdout.splitlines()
    assert lines[0].split() == ["TIME", "CHAIN", "OPERATION", "TARGET", "OUTCOME", "BASIS"]
    assert any("VCD:bob@acme:VC:vCloudService:ESX:vpxuser" in line for line in lines)


def test_a_capture_can_come_through_a_pipe() -> None:
    with DEMO_CAPTURE.open("rb") as file:
        done = subprocess.run(
            [*COMMAND, "replay", "-", "--quiet"], stdin=file, capture_output=True, timeout=TIMEOUT_S
        )
    assert done.returncode == Exit.OK, done.stderr
    assert len(done.stdout.splitlines()) == len(hoptap("replay", DEMO_CAPTURE).stdout.splitlines())


def test_a_full_output_is_an_error_of_its_own(tmp_path: Path) -> None:
    line = error_of("replay", DEMO_CAPTURE, "--out", "/dev/full", exit_code=Exit.OUTPUT)
    assert re.fullmatch(r"/dev/full: No space left on device; \d+ records not written", line)
    line = error_of("replay", DEMO_CAPTURE, "--out", tmp_path / "a" / "b", exit_code=Exit.OUTPUT)
    assert line == f"{tmp_path}/a/b: No such file or directory"
    with open("/dev/full", "w") as full:
        for arguments in (("replay", str(DEMO_CAPTURE), "--quiet"), ("demo",), ("version",)):
            done = subprocess.run(
                [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT_S
            )
            assert done.returncode == Exit.OUTPUT, done.stderr
            assert done.stderr.startswith(
                b"hoptap: error: standard output: No space left on device"
            )
            assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", [["replay", str(DEMO_CAPTURE), "--quiet"], ["demo"]])
def test_a_reader_that_leaves_ends_the_command_quietly(command: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = subprocess.run(
            [*COMMAND, *command], stdout=gone, stderr=subprocess.PIPE, timeout=TIMEOUT_S
        )
    assert (done.returncode, done.stderr) == (Exit.READER_GONE, b"")


def test_progress_is_shown_on_a_terminal_only_and_leaves_nothing(tmp_path: Path) -> None:
    """A slow pipe keeps the replay going long enough for the line to be drawn."""
    screen, terminal = pty.openpty()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "replay", "-", "--out", str(tmp_path / "out")], stdin=reader, stderr=terminal
    )
    os.close(terminal)
    os.close(reader)
    data = DEMO_CAPTURE.read_bytes()
    shown = b""
    with os.fdopen(writer, "wb") as pipe:
        for at in range(0, len(data), len(data) // 10):
            pipe.write(data[at : at + len(data) // 10])
            pipe.flush()
            time.sleep(0.1)
    while chunk := _read(screen):
        shown += chunk
    assert process.wait(TIMEOUT_S) == 0
    os.close(screen)
    assert re.search(rb"\r\x1b\[K[\d.]+ [kM]?B  [\d,]+ packets  [\d.]+ [kM]?B/s", shown)
    last = shown.rpartition(b"\r\x1b[K")[2]
    assert last.startswith(b"hoptap: 2,115 packets")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # EIO: the other end of a terminal is closed
        return b""


def test_packets_that_are_not_looked_into_are_said(tmp_path: Path) -> None:
    capture = tmp_path / "usb.pcap"
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 220)  # LINKTYPE_USB_LINUX_MMAPPED
    capture.write_bytes(head + struct.pack("<IIII", 1, 0, 64, 64) + bytes(64))
    done = hoptap("replay", capture, exit_code=Exit.INPUT)
    assert f"{capture}: 1 packets are of a link type that is not read" in done.stderr
    assert done.stdout == ""


def test_a_pipe_without_a_reader_is_waited_for_until_a_signal(tmp_path: Path) -> None:
    out = tmp_path / "out.fifo"
    os.mkfifo(out)
    with subprocess.Popen([*COMMAND, "replay", str(DEMO_CAPTURE), "--out", str(out)]) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while "wait_for_partner" not in Path(f"/proc/{process.pid}/wchan").read_text():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == -signal.SIGTERM


def test_a_signal_while_a_damaged_capture_is_drained_loses_nothing(tmp_path: Path) -> None:
    capture, out, expected = (tmp_path / name for name in ("cut.pcap", "out.fifo", "whole.ndjson"))
    capture.write_bytes(gzip.decompress(DEMO_CAPTURE.read_bytes())[:-5])
    hoptap("replay", capture, "--out", expected, exit_code=Exit.INPUT)
    os.mkfifo(out)
    with subprocess.Popen([*COMMAND, "replay", str(capture), "--out", str(out)]) as process:
        with out.open("rb") as reader:  # a pipe holds less than all of it
            deadline = time.monotonic() + TIMEOUT_S
            while str(capture) in files_of(process.pid):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert len(reader.read().splitlines()) == len(read_records(expected))
        assert process.wait(TIMEOUT_S) == Exit.INPUT


def files_of(pid: int) -> set[str]:
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(each))
    return found


def test_an_interrupted_replay_writes_what_it_has(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    with subprocess.Popen(
        [*COMMAND, "replay", "-", "--out", str(out)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(DEMO_CAPTURE.read_bytes())
        process.stdin.flush()  # and no end of file
        deadline = time.monotonic() + TIMEOUT_S
        while not out.exists() or not out.stat().st_size:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == Exit.INTERRUPTED
    assert len(read_records(out)) > 50


@pytest.mark.parametrize(
    ("target", "users"),
    [
        ("appA-1*", {"VCD:bob@acme:VC:vCloudService:ESX:vpxuser"}),
        ("alice", {"VCD:alice@acme:VC:vCloudService:ESX:vpxuser"}),
    ],
)
def test_who_answers_by_machine_and_by_person(history: Path, target: str, users: set[str]) -> None:
    found = records_of("who", target, "--json", "--history", history)
    assert users <= {body["chain"]["path"] for body in found if "chain" in body}
    table = hoptap("who", target, "--history", history).stdout
    assert len(table.splitlines()) > len(found)
    assert all(user in table for user in users)
    assert max(map(len, table.splitlines())) > 120  # not cut where there is no terminal


def test_who_minds_the_time(history: Path) -> None:
    everything = records_of("who", "bob", "--json", "--history", history)
    first, last = everything[0]["ts"], everything[-1]["ts"]
    assert first < last
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(last // 10**9))
    later = records_of("who", "bob", "--json", "--history", history, "--since", iso)
    assert later == [body for body in everything if body["ts"] >= last // 10**9 * 10**9]
    assert 0 < len(later) < len(everything)
    before = ("who", "bob", "--history", history, "--until", "2020-01-01")
    assert hoptap(*before, exit_code=Exit.NO).stdout == ""


def test_who_tells_a_wrong_time_from_a_wrong_name(history: Path) -> None:
    then = ("--history", history, "--until", "2020-01-01")
    done = hoptap("who", "bob", *then, exit_code=Exit.NO)
    assert "called bob there then; the last record of another time is of 2026-11-21" in done.stderr
    done = hoptap("who", "mallory", *then, exit_code=Exit.NO)
    assert done.stderr == "hoptap: nobody and nothing called mallory there, at any time\n"
    never = ("--since", "2026-11-22", "--until", "2026-11-20")
    assert error_of("who", "bob", *never, exit_code=Exit.USAGE) == (
        "--until 2026-11-20 is before --since 2026-11-22"
    )


def test_who_found_nothing(history: Path) -> None:
    done = hoptap("who", "mallory\x1b[2J", "--history", history, exit_code=Exit.NO)
    assert done.stderr == "hoptap: nobody and nothing called mallory\\x1b[2J there\n"
    assert error_of("who", "x", "--history", "/none.db", exit_code=Exit.INPUT) == (
        "history /none.db: No such file or directory"
    )
    directory = history.parent
    assert error_of("who", "x", "--history", directory, exit_code=Exit.INPUT) == (
        f"history {directory}: is no regular file"
    )


def records_of(*arguments: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in hoptap(*arguments).stdout.splitlines()]


def test_check_says_what_is_missing(tmp_path: Path) -> None:
    config = write_config(tmp_path, capture={"interfaces": ["lo", "nosuch0"]})
    done = hoptap("check", "-c", config, exit_code=Exit.NO)
    levels = dict(line.split(": ")[0].split(maxsplit=1)[::-1] for line in done.stdout.splitlines())
    assert levels["interface nosuch0"] == "problem"
    assert levels["interface lo"] == "ok"
    assert levels["core"] == "ok"
    assert levels["records"] == "ok"


def test_check_refuses_what_run_would_refuse(tmp_path: Path) -> None:
    config = write_config(
        tmp_path, sensor={"user": "no-such-user"}, output={"ndjson": "/nowhere/hop.ndjson"}
    )
    lines = hoptap("check", "-c", config, exit_code=Exit.NO).stdout.splitlines()
    assert "problem  user: sensor.user: there is no user 'no-such-user'" in lines
    gone = "/nowhere/hop.ndjson cannot be made: there is no directory /nowhere"
    assert f"problem  records: {gone}" in lines


@pytest.mark.root
def test_check_passes_where_everything_is_in_place(tmp_path: Path) -> None:
    config = write_config(tmp_path, history={"enabled": True})
    done = hoptap("check", "-c", config, "-i", "lo")
    assert "problem" not in done.stdout
    assert not list(tmp_path.glob("*.db"))  # a check makes nothing


def test_the_demo_shows_chains_by_person() -> None:
    text = hoptap("demo").stdout
    people = re.findall(r"^(\S+ at [A-Z]+)$", text, re.MULTILINE)
    assert {"bob@acme at VCD", "alice@acme at VCD", "root at ESX"} <= set(people)
    assert people == sorted(people)
    assert "VCD:bob@acme:VC:vCloudService:ESX:vpxuser" in text


def test_version() -> None:
    assert re.fullmatch(r"hoptap \d\S*\n", hoptap("version").stdout)


def test_a_hash_key_makes_two_replays_alike(tmp_path: Path) -> None:
    key = tmp_path / "hash.key"
    key.write_text("00" * 32 + "\n")
    key.chmod(0o600)

    def sessions(*options: str | Path) -> set[str]:
        found = records_of("replay", "--quiet", DEMO_CAPTURE, *options)
        return {body["to"]["session"] for body in found if body["to"].get("session")}

    assert sessions("--hash-key", key) == sessions("--hash-key", key)
    assert sessions().isdisjoint(sessions())


def test_the_package_works_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "version"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "LC_ALL": "C"},
        capture_output=True, text=True, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
