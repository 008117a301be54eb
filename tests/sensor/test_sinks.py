"""Sinks as a sensor has them, from the configuration to real receivers, through crashes."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporters.outbox import SinkError
from exporters.spool import Bounds
from sensor import hashing
from sensor.config import load
from sensor.exits import ConfigError, Exit
from sensor.metrics import Metrics
from sensor.sendtest import send_test
from sensor.sink_types import FORMATS_OF
from sensor.sinks import Sinks
from tests.command import ROOT, read_records, write_config
from tests.sensor.sinking import TOKEN, collector, events, sink

TIMEOUT_S = 60


def feeding(config: Path, first: int, count: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.exporters.feeding", str(config), str(first), str(count)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def fed(config: Path, first: int, count: int) -> tuple[list[str], str]:
    """What it printed, and its errors."""
    process = feeding(config, first, count)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    return out.splitlines(), err


def killed(config: Path, first: int, count: int, after: int) -> int:
    """The sensor gets SIGKILL once its sinks took `after` records; how many they took, at least."""
    with feeding(config, first, count) as process:
        assert process.stdout is not None
        accepted = 0
        for line in process.stdout:
            accepted = int(line.split()[1])
            if accepted >= after:
                process.send_signal(signal.SIGKILL)
                break
        rest = [line for line in process.stdout.read().splitlines() if line[:8] == "accepted"]
        assert process.wait(TIMEOUT_S) == -signal.SIGKILL
        return int(rest[-1].split()[1]) if rest else accepted


def test_what_a_killed_sensor_had_accepted_arrives_after_its_restart(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        config = write_config(tmp_path, sink=[sink(tmp_path, receiver)])
        taken = killed(config, 0, 20_000, after=1000)
        out, err = fed(config, 100_000, 10)
        numbers = [int(each["id"][1:]) for each in events(receiver)]
    assert numbers[-10:] == list(range(100_000, 100_010))
    assert numbers[:-10] == list(range(len(numbers) - 10))
    assert len(numbers) - 10 >= taken >= 1000
    assert "Traceback" not in err
    assert "siem lost 0" in out and "siem shed 0" in out


def test_a_sensor_killed_while_the_receiver_is_away_loses_nothing(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        receiver.kill()
        config = write_config(tmp_path, sink=[sink(tmp_path, receiver)])
        taken = killed(config, 0, 20_000, after=500)
        out, err = fed(config, 100_000, 10)
        assert "siem written 0" in out
        assert err.splitlines() == [
            f"hoptap: error: siem: hec 127.0.0.1:{receiver.port}: connection refused",
            f"hoptap: siem: {len(list(spooled(config)))} records wait in the spool",
        ]
        receiver.start()
        fed(config, 200_000, 10)
        numbers = [int(each["id"][1:]) for each in events(receiver)]
    whole = [*range(len(numbers) - 20), *range(100_000, 100_010), *range(200_000, 200_010)]
    assert numbers == whole
    assert len(numbers) - 20 >= taken


def spooled(config: Path) -> Iterator[int]:
    """Numbers of the records in the spool, which nobody reads now."""
    from exporters.frames import frames_in
    from exporters.segments import segments_in

    path = load(config).spool_path("siem")
    for _, segment in sorted(segments_in(path)):
        for number, _, _ in frames_in(segment.read_bytes()):
            yield number


def test_each_sink_has_its_own_filter_format_and_privacy(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.log" for name in ("all", "none", "cef", "zeek")}
    with collector(tmp_path) as receiver:
        sinks = [
            sink(tmp_path, receiver, pseudonymize=["user", "ip"], drop=["chain.id"]),
            {"id": "all", "type": "file", "to": str(files["all"])},
            {"id": "none", "type": "file", "to": str(files["none"]), "services": ["KVM"]},
            {"id": "cef", "type": "file", "to": str(files["cef"]), "format": "cef"},
            {"id": "zeek", "type": "file", "to": str(files["zeek"]), "format": "zeek"},
        ]
        out, err = fed(write_config(tmp_path, sink=sinks), 0, 30)
        assert err == ""
        written = {line for line in out if "written" in line}
        assert written == {f"{name} written 30" for name in ("siem", *files)}
        hidden = events(receiver)
    assert len(hidden) == len(read_records(files["all"])) == 30
    assert read_records(files["all"])[0]["chain"]["users"] == ["bob@acme", "svc"]
    assert files["none"].read_bytes() == b""
    assert all(line.startswith("CEF:1|") for line in files["cef"].read_text().splitlines())
    lines = files["zeek"].read_text().splitlines()
    assert lines[0] == "#separator \\x09" and sum(line[0] != "#" for line in lines) == 30
    text = json.dumps(hidden)
    assert "bob" not in text and "svc" not in text and "10.0.0.1" not in text
    assert "id" not in hidden[0]["chain"]


def test_a_spool_that_overflows_is_said_once_and_counted(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        receiver.kill()
        each = sink(tmp_path, receiver, spool_bytes_max=64 << 10)
        out, err = fed(write_config(tmp_path, sink=[each]), 0, 3000)
        assert err.count("siem: the spool is full: its oldest records are lost\n") == 1
        lost = lost_in(out)
        assert 2000 < lost < 3000
        receiver.start()
        out, _ = fed(tmp_path / "hoptap.toml", 3000, 10)
        lost += lost_in(out)  # those ten may have needed room, too
        numbers = [int(each["id"][1:]) for each in events(receiver)]
    assert numbers == list(range(lost, 3010))


def lost_in(out: list[str]) -> int:
    return next(int(line.split()[2]) for line in out if line.startswith("siem lost"))


@pytest.mark.parametrize("format", FORMATS_OF["file"])
def test_a_file_of_each_format_is_gone_on_with(tmp_path: Path, format: str) -> None:
    path = tmp_path / "f.log"
    config = write_config(
        tmp_path, sink=[{"id": "f", "type": "file", "to": str(path), "format": format}]
    )
    for count in (2, 3):
        assert send_test(load(config), [], count) is Exit.OK
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 5


def test_a_file_of_zeek_has_its_head_once_and_after_each_rotation(tmp_path: Path) -> None:
    path = tmp_path / "hop.log"
    each = {"id": "z", "type": "file", "to": str(path), "format": "zeek", "rotate_bytes": 6000}
    config = write_config(tmp_path, sink=[each])
    for first in (0, 5):
        fed(config, first, 5)
    assert path.read_text().count("#fields") == 1
    fed(config, 10, 60)
    files = sorted(tmp_path.glob("hop*.log"))
    assert len(files) > 2
    for file in files:
        lines = file.read_text().splitlines()
        assert lines[0].startswith("#separator") and lines[-1].startswith("17637")
        assert sum("#fields" in line for line in lines) == 1


def test_the_rows_of_a_sink_are_there_from_the_start(tmp_path: Path) -> None:
    from prometheus_client.exposition import generate_latest
    from prometheus_client.registry import CollectorRegistry

    with collector(tmp_path) as receiver:
        receiver.kill()
        settings = load(write_config(tmp_path, sink=[sink(tmp_path, receiver)]))
        metrics = Metrics("")
        sinks = Sinks(settings, hashing.run_hasher(), metrics.exports)
        [(_, made)] = list(sinks.spooled())
        metrics.exports.start(made.name, 10, lambda: 0)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(metrics)
        text = generate_latest(registry).decode()
        made.close()
    for result in ("written", "retried", "refused", "shed", "lost"):
        row = f'hoptap_export_records_total{{output="siem",result="{result}"}} 0.0\n'
        assert row in text
    for reason in ("size", "age", "damaged"):
        name = "hoptap_export_spool_dropped_records_total"
        assert f'{name}{{output="siem",reason="{reason}"}} 0.0\n' in text
    for name, value in (
        ("connected", "0.0"),
        ("last_ack_timestamp_seconds", "0.0"),
        ("spool_bytes", "0.0"),
        ("spool_limit_bytes", "1.073741824e+09"),
    ):
        assert f'hoptap_export_{name}{{output="siem"}} {value}\n' in text
    assert TOKEN not in text


def test_a_spool_that_another_process_has_is_an_error_at_once(tmp_path: Path) -> None:
    with collector(tmp_path) as receiver:
        settings = load(write_config(tmp_path, sink=[sink(tmp_path, receiver)]))
        sinks = Sinks(settings, hashing.run_hasher(), Metrics("").exports)
        [(_, made)] = list(sinks.spooled())
        again = Sinks(settings, hashing.run_hasher(), Metrics("").exports)
        with pytest.raises(SinkError, match=f"spool {tmp_path}/spool/siem: another process has"):
            list(again.spooled())
        made.close()


def test_no_secret_is_in_what_a_sink_shows(tmp_path: Path) -> None:
    from sensor.receivers import receiver_of

    settings = load(write_config(tmp_path, sink=[sink(tmp_path, 9)]))
    receiver = receiver_of(settings.sink[0], "host", lambda line: None)
    assert TOKEN not in repr(settings) + repr(receiver) + str(receiver.transport)
    (tmp_path / "token").write_bytes(b"\xff\xfeCANARY")
    with pytest.raises(ConfigError) as caught:
        receiver_of(settings.sink[0], "host", lambda line: None)
    assert caught.value.lines == ("sink siem: a secret file is not UTF-8",)


def test_a_spool_has_sixteen_segments_of_at_most_sixteen_mebibytes() -> None:
    assert Bounds(1 << 30).segment_bytes == 16 << 20
    assert Bounds(1 << 20).segment_bytes == 1 << 16
