"""_bulk: every item's answer counts for its record, and what came twice is there once."""

from pathlib import Path
from typing import Any

import pytest

from exporters.bulk import Bulk
from exporters.formats.format import Format
from exporters.httpclient import HttpEndpoint
from tests.exporters.delivering import deliver, failure_of
from tests.exporters.receivers.process import Receiver, python
from tests.exporters.sample import HOP, trees

STREAM = "logs-hoptap.hop-default"


def bulk(receiver: Receiver, **options: Any) -> Bulk:
    url = f"http://127.0.0.1:{receiver.port}"
    return Bulk(HttpEndpoint(url, 5, 20), options.pop("format", HOP), **options)


def sources(receiver: Receiver) -> list[dict[str, Any]]:
    found = []
    for line in receiver.stored():
        assert line["_index"] == STREAM
        assert line["_id"] == line["_source"]["id"]
        found.append({name: each for name, each in line["_source"].items() if name[0] != "@"})
    return found


def test_document(tmp_path: Path) -> None:
    ecs = Format("ecs", lambda tree: {"@timestamp": "2026-11-22T00:00:00Z", "event": {"id": "1"}})
    records = trees(1)
    with python("bulk", tmp_path / "store", stream=STREAM) as receiver:
        plain, own = bulk(receiver), bulk(receiver, format=ecs, stream=STREAM)
        plain.send(records)
        own.send(trees(1))
        plain.close()
        own.close()
    first, second = receiver.stored()
    assert first["_source"] == {"@timestamp": "2026-11-21T19:40:00.123456789Z", **records[0]}
    assert second["_source"] == {"@timestamp": "2026-11-22T00:00:00Z", "event": {"id": "1"}}


def test_what_is_there_already_is_delivered(tmp_path: Path) -> None:
    """409 to each item of a batch that was taken before."""
    records = trees(30)
    with python("bulk", tmp_path / "store") as receiver:
        transport = bulk(receiver)
        assert transport.send(records[:20]) == []
        assert transport.send(records) == []
        transport.close()
    assert sources(receiver) == records


def test_nothing_taken_is_lost_when_the_receiver_is_killed(tmp_path: Path) -> None:
    records = trees(4000)
    killed_at: list[int] = []
    with python("bulk", tmp_path / "store") as receiver:

        def kill(safe: int) -> None:
            if safe > 1000 * (len(killed_at) + 1):
                killed_at.append(safe)
                receiver.kill()
                receiver.start()

        transport = bulk(receiver)
        assert deliver(transport, records, batch_records=128, between=kill) == []
        transport.close()
    assert sources(receiver) == records
    assert len(killed_at) == 3


def test_refused_documents_and_their_reasons(tmp_path: Path) -> None:
    records = trees(40)
    for bad in (0, 17, 39):
        records[bad]["poison"] = True
    with python("bulk", tmp_path / "store") as receiver:
        transport = bulk(receiver)
        refused = transport.send(records)
        transport.close()
    reason = "400 document_parsing_exception: failed to parse field [extra.poison] of type [long]"
    assert [(each.index, each.reason) for each in refused] == [(bad, reason) for bad in (0, 17, 39)]
    assert sources(receiver) == [record for record in records if "poison" not in record]


def test_items_that_found_no_room_are_sent_again(tmp_path: Path) -> None:
    records = trees(100)
    with python("bulk", tmp_path / "store", crowded=True) as receiver:
        transport = bulk(receiver)
        assert transport.send(records) == []
        transport.close()
    found = sources(receiver)
    assert found != records  # some came later
    assert sorted(found, key=lambda each: str(each["id"])) == records


def test_no_room_at_all(tmp_path: Path) -> None:
    with python("bulk", tmp_path / "store", always_crowded=True) as receiver:
        error = failure_of(bulk(receiver), trees(5))
    assert str(error) == (
        f"elasticsearch 127.0.0.1:{receiver.port}: has no room for 5 of 5 records:"
        " 429 es_rejected_execution_exception: rejected execution of primary"
    )
    assert (error.written, error.final) == (0, False)


def test_too_large_a_request_is_split(tmp_path: Path) -> None:
    records = trees(40)
    records[7]["extra"] = {"much": "x" * 30_000}
    with python("bulk", tmp_path / "store", body_bytes_max=20_000) as receiver:
        transport = bulk(receiver)
        refused = transport.send(records)
        transport.close()
    assert [(each.index, each.reason[:3]) for each in refused] == [(7, "413")]
    assert sources(receiver) == records[:7] + records[8:]


@pytest.mark.parametrize(
    ("options", "given", "said"),
    [
        ({"user": "hoptap:word"}, {"username": "hoptap", "password": "other"},
         "401 Unauthorized: security_exception: unable to authenticate user [hoptap]"),
        ({"api_key": "a2V5"}, {"api_key": "b3RoZXI="},
         "401 Unauthorized: security_exception: unable to authenticate user [hoptap]"),
        ({"stream": "other"}, {},
         f"{STREAM}: 404 index_not_found_exception: no such index [{STREAM}]"),
        ({"read_only": True}, {},
         f"{STREAM}: 403 cluster_block_exception: index [{STREAM}] blocked by:"
         " [FORBIDDEN/12/index read-only];"),
    ],
)  # fmt: skip
def test_what_somebody_has_to_mend_refuses_no_record(
    options: dict[str, Any], given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with python("bulk", tmp_path / "store", **options) as receiver:
        error = failure_of(bulk(receiver, **given), trees(5))
    assert str(error).removeprefix(f"elasticsearch 127.0.0.1:{receiver.port}: ") == said
    assert (error.written, error.final) == (0, True)


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"user": "hoptap:wörd"}, {"username": "hoptap", "password": "wörd"}),
        ({"api_key": "a2V5"}, {"api_key": "a2V5"}),
    ],
)
def test_probe(options: dict[str, Any], given: dict[str, Any], tmp_path: Path) -> None:
    with python("bulk", tmp_path / "store", **options) as receiver:
        transport = bulk(receiver, **given)
        said = f"elasticsearch 127.0.0.1:{receiver.port}: Elasticsearch 9.2.0, cluster test"
        assert transport.probe() == said
        assert transport.send(trees(1)) == []
        transport.close()
