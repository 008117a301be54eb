"""A courier brings every record of its spool to a real receiver, in the end."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporters import courier
from exporters.transport import Tree
from sensor.records import Record, as_dict
from tests.exporters.couriers import NAME, WAIT_S, Case, collector, ids, numbered, records, wait_for
from tests.exporters.receivers.process import python


def test_every_record_arrives_in_order(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True) as receiver:
        case = Case(tmp_path, collector(receiver.port))
        wait_for(lambda: case.counts.connected[NAME], "connection")  # before there is a record
        assert case.counts.last_ack_s[NAME] == 0
        for first in range(0, 1000, 100):
            case.outbox.offer(records(100, first))
        case.stop()
        assert ids(receiver) == numbered(1000)
    assert (case.count("written"), case.count("retried"), case.count("lost")) == (1000, 0, 0)
    assert abs(case.counts.last_ack_s[NAME] - time.time()) < WAIT_S
    assert case.counts.connected[NAME] is False  # it was closed
    assert case.errors == case.notices == []
    assert not list((tmp_path / "spool").glob("*.seg"))


def test_a_record_does_not_wait_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "IDLE_S", 3600.0)  # it is woken, or never sends
    with python("hec", tmp_path / "store", ack=True) as receiver:
        case = Case(tmp_path, collector(receiver.port))
        for number in range(3):
            case.outbox.offer(records(1, number))
            wait_for(lambda: case.count("written") == number + 1, "record")  # noqa: B023
        case.stop()


def test_a_receiver_that_is_away_gets_all_when_it_comes(tmp_path: Path) -> None:
    receiver = python("hec", tmp_path / "store", ack=True)
    receiver.start()
    receiver.kill()
    case = Case(tmp_path, collector(receiver.port))
    case.outbox.offer(records(500))
    wait_for(lambda: case.count("retried") >= 100, "attempts")
    assert case.courier.problem() == f"hec 127.0.0.1:{receiver.port}: connection refused"
    assert case.spool.waiting == 500
    receiver.start()
    wait_for(lambda: case.count("written") == 500, "records")
    assert case.courier.problem() == ""
    case.stop()
    assert ids(receiver) == numbered(500)
    receiver.kill()
    assert case.errors == [f"siem: hec 127.0.0.1:{receiver.port}: connection refused"]
    [notice] = case.notices
    assert notice.startswith("siem: takes records again after ")


def test_a_receiver_away_for_a_whole_run_finds_all_in_the_spool(tmp_path: Path) -> None:
    receiver = python("hec", tmp_path / "store", ack=True)
    receiver.start()
    receiver.kill()
    for run in range(2):
        case = Case(tmp_path, collector(receiver.port))
        case.outbox.offer(records(100, first=100 * run))
        wait_for(lambda: case.spool.waiting == 100 * (run + 1), "spooling")  # noqa: B023
        begun = time.monotonic()
        case.stop()
        assert time.monotonic() - begun < 5  # it does not wait for who is not there
        assert case.outbox.failed is None
        assert case.notices == [f"siem: {100 * (run + 1)} records wait in the spool"]
        assert (case.count("written"), case.count("lost"), case.count("shed")) == (0, 0, 0)
    receiver.start()
    case = Case(tmp_path, collector(receiver.port))
    wait_for(lambda: case.count("written") == 200, "records")
    case.stop()
    assert ids(receiver) == numbered(200)
    receiver.kill()


def test_a_receiver_killed_in_mid_stream_has_every_record_in_the_end(tmp_path: Path) -> None:
    receiver = python("hec", tmp_path / "store", ack=True)
    receiver.start()
    case = Case(tmp_path, collector(receiver.port, ack_timeout_s=2.0))
    for first in range(0, 3000, 1000):
        case.outbox.offer(records(1000, first))
        wait_for(lambda: case.count("written") > first, "records")  # noqa: B023
        receiver.kill()
        receiver.start()
    wait_for(lambda: case.count("written") == 3000, "all records")
    case.stop()
    found = ids(receiver)
    receiver.kill()
    assert list(dict.fromkeys(found)) == numbered(3000)  # each once, in order of its first arrival


def test_a_receiver_that_never_acknowledges_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True, never_index=True) as receiver:
        case = Case(tmp_path, collector(receiver.port, ack_timeout_s=0.3), records_max=5)
        case.outbox.offer(records(20))
        wait_for(lambda: case.counts.errors.value(NAME) >= 3, "time-outs")
        case.stop()
    assert case.errors == [
        f"siem: hec 127.0.0.1:{receiver.port}: took 5 events, but did not index them in 0.3 s"
    ]
    assert (case.count("written"), case.count("lost")) == (0, 0)
    assert case.count("retried") >= 10
    assert case.notices == ["siem: 20 records wait in the spool"]


@contextmanager
def silent_listener() -> Iterator[int]:
    """Accepts, reads, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    taken.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)
        for each in taken:
            each.close()


def test_a_receiver_that_never_answers_does_not_keep_the_sensor_from_ending(
    tmp_path: Path,
) -> None:
    with silent_listener() as port:
        case = Case(tmp_path, collector(port, ack_timeout_s=60.0))
        case.outbox.sink._drain_s = 0.5  # type: ignore[attr-defined]
        case.outbox.offer(records(20))
        wait_for(lambda: case.spool.waiting == 20, "spooling")
        begun = time.monotonic()
        case.stop()
        assert time.monotonic() - begun < 5
    assert case.notices == [
        "siem: did not answer before the end",
        "siem: 20 records wait in the spool",
    ]


def test_a_receiver_has_what_the_outputs_leave_of_the_time(tmp_path: Path) -> None:
    with silent_listener() as port:
        case = Case(tmp_path, collector(port, ack_timeout_s=60.0))
        case.outbox.offer(records(20))
        wait_for(lambda: case.spool.waiting == 20, "spooling")
        begun = time.monotonic()
        case.outbox.sink.begin_stop(0.1)  # type: ignore[attr-defined]
        case.stop()
        assert courier.GOODBYE_S <= time.monotonic() - begun < WAIT_S / 2
    assert "siem: did not answer before the end" in case.notices


def test_a_final_error_is_said_and_tried_again_until_it_is_mended(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True, token="new") as receiver:
        case = Case(tmp_path, collector(receiver.port, token="old-SECRET"))
        case.outbox.offer(records(10))
        wait_for(lambda: case.counts.errors.value(NAME) >= 3, "attempts")
        [line] = case.errors
        assert line.startswith(f"siem: hec 127.0.0.1:{receiver.port}: 403 ")
        assert "SECRET" not in line
    mended = python("hec", tmp_path / "store", ack=True, token="old-SECRET")
    mended.port = receiver.port
    with mended:
        wait_for(lambda: case.count("written") == 10, "records")
        case.stop()


def test_records_that_nobody_wants_do_not_reach_the_spool(tmp_path: Path) -> None:
    def odd(record: Record) -> Tree | None:
        return as_dict(record) if record.ts % 2 else None

    with python("hec", tmp_path / "store", ack=True) as receiver:
        case = Case(tmp_path, collector(receiver.port), prepare=odd)
        case.outbox.offer(records(100))
        case.stop()
        assert ids(receiver) == numbered(100)[::2]
    assert case.count("written") == 50


def test_a_call_ends_the_wait_for_the_next_attempt(tmp_path: Path) -> None:
    receiver = python("hec", tmp_path / "store", ack=True)
    receiver.start()
    receiver.kill()
    case = Case(tmp_path, collector(receiver.port))
    case.courier._retry_longest_s = case.courier._retry_first_s = 3600.0
    case.outbox.offer(records(1))
    wait_for(lambda: bool(case.courier.problem()), "problem")
    receiver.start()
    case.outbox.reopen()
    wait_for(lambda: case.count("written") == 1, "record")
    case.stop()
    receiver.kill()
