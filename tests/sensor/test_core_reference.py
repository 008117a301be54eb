"""The core hands up what the slow, plain reader of tests/reference.py finds in the same capture."""

from pathlib import Path

import pytest

from decoders.message import Transaction, TransactionFlag
from sensor import _core
from sensor.flows import Flow
from tests.reference import transactions
from tests.sensor.core_events import CAPTURES, events_of, plain, source_of

CLEAR = sorted(
    path.parent
    for path in CAPTURES.glob("*-clear*/capture.pcap.zst")
    if path.parent.name != "libvirt-clear"  # no HTTP
)
CRLF = b"\r\n"

Heard = dict[tuple[object, ...], list[Transaction]]


def comparable(transaction: Transaction) -> Transaction:
    """Without what the two say differently: the head's last CRLF, when an answer was given up."""
    unanswered = transaction.flags & TransactionFlag.NO_RESPONSE
    return transaction._replace(
        request_head=transaction.request_head.removesuffix(CRLF),
        response_head=transaction.response_head.removesuffix(CRLF),
        end_ns=0 if unanswered else transaction.end_ns,
    )


def by_flow(found: list[tuple[Flow, Transaction]]) -> Heard:
    """The transactions of each flow in order; a flow is named by all but its uid."""
    heard: Heard = {}
    for flow, transaction in found:
        heard.setdefault(tuple(flow._replace(uid="")), []).append(comparable(transaction))
    return heard


def read_by_core(capture: Path) -> list[tuple[Flow, Transaction]]:
    flows: dict[int, Flow] = {}
    found = []
    for kind, number, _, _, _, value in events_of(source_of(capture)):
        if kind == _core.FLOW:
            flows[number] = Flow(*value)
        elif kind == _core.TRANSACTION:
            found.append((flows[number], Transaction._make(value)))
    return found


def test_there_are_captures() -> None:
    assert len(CLEAR) >= 4


@pytest.mark.parametrize("directory", CLEAR, ids=lambda path: path.name)
def test_transactions(directory: Path, tmp_path: Path) -> None:
    capture = plain(directory / "capture.pcap.zst", tmp_path)
    found = by_flow(read_by_core(capture))
    read = transactions(str(capture))
    expected = by_flow([(Flow(*flow), transaction) for flow, transaction in read])
    assert found.keys() == expected.keys()
    assert sum(map(len, expected.values())) >= 10
    for flow, heard in expected.items():
        for ours, theirs in zip(found[flow], heard, strict=True):
            assert ours == theirs
