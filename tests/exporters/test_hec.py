"""HEC: a record is delivered when the indexer says so, and a bad one harms no other."""

from pathlib import Path
from typing import Any

import pytest

from exporters.formats.format import Format
from exporters.hec import Hec
from exporters.httpclient import HttpEndpoint
from exporters.outbox import SinkError
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.process import Receiver, python
from tests.exporters.sample import HOP, trees


def hec(
    receiver: Receiver, *, token: str = "token", ack_timeout_s: float = 20, **options: Any
) -> Hec:
    url = f"http://127.0.0.1:{receiver.port}"
    return Hec(
        HttpEndpoint(url, 5, ack_timeout_s), options.pop("format", HOP), token=token, **options
    )


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """What was indexed, each id once: a batch with a bad event is sent twice in part."""
    return list({line["event"]["id"]: line["event"] for line in receiver.stored()}.values())


@pytest.mark.parametrize("compress", [True, False])
def test_envelope(compress: bool, tmp_path: Path) -> None:
    [record] = trees(1)
    with python("hec", tmp_path / "store", ack=True, index="main") as receiver:
        endpoint = HttpEndpoint(f"http://127.0.0.1:{receiver.port}", compress=compress)
        transport = Hec(endpoint, HOP, token="token", index="main", hostname="sensor-1")
        assert transport.send([record]) == []
        transport.close()
    [line] = receiver.stored()
    assert line == {
        "time": "1795290000.123456",
        "host": "sensor-1",
        "source": "hoptap",
        "sourcetype": "hoptap:hop",
        "index": "main",
        "event": record,
    }


def test_a_format_may_bring_its_own_envelope(tmp_path: Path) -> None:
    splunk = Format("splunk", lambda tree: {"time": "1.5", "event": {"id": tree["id"]}})
    [record] = trees(1)
    with python("hec", tmp_path / "store", ack=True) as receiver:
        transport = hec(receiver, format=splunk)
        transport.send([record])
        transport.close()
    assert list(receiver.stored()) == [{"time": "1.5", "event": {"id": record["id"]}}]


def test_nothing_acknowledged_is_lost_when_the_receiver_is_killed(tmp_path: Path) -> None:
    """It answers Success before it indexes: only its acknowledgement counts."""
    records = trees(4000)
    killed_at: list[int] = []
    with python("hec", tmp_path / "store", ack=True) as receiver:

        def kill(safe: int) -> None:
            if safe > 1000 * (len(killed_at) + 1):
                killed_at.append(safe)
                receiver.kill()
                there = {each["id"] for each in events(receiver)}
                assert {record["id"] for record in records[:safe]} <= there
                receiver.start()

        transport = hec(receiver)
        assert deliver(transport, records, batch_records=128, between=kill) == []
        transport.close()
        assert events(receiver) == records
    assert len(killed_at) == 3


@pytest.mark.parametrize("count", [300, 1500])  # one request; two in one channel
def test_killed_between_success_and_index(count: int, tmp_path: Path) -> None:
    """The acknowledgement of a collector that began anew is not taken for the former one's."""
    records = trees(count)
    with python("hec", tmp_path / "store", ack=True) as receiver:
        transport = hec(receiver, ack_timeout_s=1)
        post = transport._http.post
        posts: list[bytes] = []

        def post_and_kill(body: bytes, **options: Any) -> Any:
            answer = post(body, **options)
            posts.append(body)
            if len(posts) == 1:
                receiver.kill()
                receiver.start()
            return answer

        transport._http.post = post_and_kill  # type: ignore[method-assign]
        assert deliver(transport, records, batch_records=count) == []
        transport.close()
        assert sorted(events(receiver), key=lambda each: int(each["ts"])) == records


@pytest.mark.parametrize("acknowledge", [True, False])
def test_bad_events_are_refused_with_the_reason_and_all_others_are_indexed(
    acknowledge: bool, tmp_path: Path
) -> None:
    records = trees(40)
    for bad in (0, 17, 18, 39):
        records[bad]["poison"] = True
    with python("hec", tmp_path / "store", **({"ack": True} if acknowledge else {})) as receiver:
        transport = hec(receiver, acknowledge=acknowledge)
        refused = transport.send(records)
        good = [record for record in records if "poison" not in record]
        while len(events(receiver)) < len(good):
            pass  # without acknowledgement it is indexed a moment later
        transport.close()
    assert {(each.index, each.reason) for each in refused} == {
        (bad, "400 Bad Request: Invalid data format (code 6)") for bad in (0, 17, 18, 39)
    }
    assert sorted(map(str, events(receiver))) == sorted(map(str, good))


def test_a_collector_that_does_not_say_which_event_is_bad(tmp_path: Path) -> None:
    records = trees(40)
    for bad in (0, 17, 18, 39):
        records[bad]["poison"] = True
    with python("hec", tmp_path / "store", ack=True, terse=True) as receiver:
        transport = hec(receiver)
        assert transport.probe() == f"hec 127.0.0.1:{receiver.port}: 400 Bad Request: {{}}"
        refused = transport.send(records)
        transport.close()
    assert [(each.index, each.reason) for each in refused] == [
        (bad, "400 Bad Request: {}") for bad in (0, 17, 18, 39)
    ]
    assert [line["event"] for line in receiver.stored()] == [
        record for record in records if "poison" not in record
    ]


def test_too_large_a_request_is_split(tmp_path: Path) -> None:
    records = trees(40)
    records[7]["extra"] = {"much": "x" * 30_000}
    with python("hec", tmp_path / "store", ack=True, body_bytes_max=20_000) as receiver:
        transport = hec(receiver)
        refused = transport.send(records)
        transport.close()
        assert events(receiver) == records[:7] + records[8:]
    assert [(each.index, each.reason[:3]) for each in refused] == [(7, "413")]


def test_busy_is_no_refusal(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True, busy=3) as receiver:
        error = failure_of(hec(receiver), trees(1))
        transport = hec(receiver)
        assert deliver(transport, trees(10)) == []
        transport.close()
        assert len(events(receiver)) == 10
    where = f"hec 127.0.0.1:{receiver.port}"
    assert str(error) == f"{where}: 503 Service Unavailable: Server is busy (code 9)"
    assert not error.final


@pytest.mark.parametrize(
    ("options", "given", "said"),
    [
        ({}, {"token": "other"}, "403 Forbidden: Invalid token (code 4)"),
        ({"disabled": True}, {}, "403 Forbidden: Token disabled (code 1)"),
        ({"ack": True, "index": "main"}, {"index": "x"},
         "400 Bad Request: Incorrect index (code 7)"),
        ({}, {}, "gives no ackId: enable indexer acknowledgement of the token,"
                 " or set acknowledge = false"),
    ],
)  # fmt: skip
def test_what_somebody_has_to_mend(
    options: dict[str, Any], given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with python("hec", tmp_path / "store", **options) as receiver:
        error = failure_of(hec(receiver, **given), trees(5))
    assert str(error) == f"hec 127.0.0.1:{receiver.port}: {said}"
    assert error.final


def test_a_collector_that_never_acknowledges(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True, never_index=True) as receiver:
        error = failure_of(hec(receiver, ack_timeout_s=0.3), trees(9))
    assert str(error) == (
        f"hec 127.0.0.1:{receiver.port}: took 9 events, but did not index them in 0.3 s"
    )
    assert (error.written, error.final) == (0, False)


def test_what_is_indexed_late_is_not_sent_twice(tmp_path: Path) -> None:
    records = trees(20)
    with python("hec", tmp_path / "store", ack=True, index_s=0.5) as receiver:
        transport = hec(receiver, ack_timeout_s=0.2)
        with pytest.raises(SinkError, match="took 20 events, but did not index them"):
            transport.send(records)
        assert deliver(transport, records) == []
        transport.close()
    assert [line["event"] for line in receiver.stored()] == records


def test_probe(tmp_path: Path) -> None:
    with python("hec", tmp_path / "store", ack=True) as receiver:
        transport = hec(receiver)
        assert transport.probe() == f"hec 127.0.0.1:{receiver.port}: the token is accepted"
        transport.close()
    assert list(receiver.stored()) == []
