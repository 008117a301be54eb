"""What a late key opens takes its place in the order of packet time."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from decoders.message import Call, Login, LoginMethod, Message, OperationClass, Outcome, Target
from sensor.analysis import Analysis
from sensor.flows import Flow
from sensor.lateness import InOrder
from sensor.records import Record, as_dict
from tests.command import comparable
from tests.sensor.talk import BOB, MS, PROXY, START_NS, VC, Numbered, flow_of

LAG_NS = 1000 * MS
OUTER, INNER = flow_of(BOB, PROXY, 40_000), flow_of(PROXY, VC, 50_000)
TOKEN = "b2s:1"
CALLS = 20
Said = tuple[Flow, Message]


def talk() -> list[Said]:
    """A login and calls through a proxy that ends TLS, in the order in which their answers pass."""
    said: list[Said] = []
    for number in range(CALLS):
        start_ns = START_NS + number * 100 * MS
        spans = ((start_ns + 10 * MS, start_ns + 20 * MS), (start_ns, start_ns + 30 * MS))
        for flow, (time_ns, end_ns) in zip((INNER, OUTER), spans, strict=True):
            said.append(
                (flow, login(time_ns, end_ns) if not number else call(number, time_ns, end_ns))
            )
    return said


def login(time_ns: int, end_ns: int) -> Login:
    return Login(
        api="vim25",
        operation="Login",
        method=LoginMethod.PASSWORD,
        outcome=Outcome.SUCCESS,
        user="bob",
        new_tokens=(TOKEN,),
        time_ns=time_ns,
        end_ns=end_ns,
    )


def call(number: int, time_ns: int, end_ns: int) -> Call:
    return Call(
        api="vim25",
        operation="Rename_Task",
        operation_class=OperationClass.UPDATE,
        target=Target("VirtualMachine", f"vm-{number}"),
        outcome=Outcome.SUCCESS,
        token=TOKEN,
        time_ns=time_ns,
        end_ns=end_ns,
    )


def told(records: Iterable[Record]) -> Counter[str]:
    return comparable([as_dict(each) for each in records])


def in_time() -> list[Record]:
    """What follows when every key is there before its bytes."""
    analysis = Analysis(new_id=Numbered())
    records: list[Record] = []
    for flow, message in talk():
        records += analysis.advance(message.end_ns)
        records += analysis.message(flow, message)
    return records + analysis.finish()


def late(delays_ns: list[int], held_max: int = 1000) -> list[Record]:
    """The same, each message opened so much later."""
    ordered = InOrder(Analysis(new_id=Numbered()), LAG_NS, held_max)
    arrivals = [
        (message.end_ns + delay_ns, number, flow, message)
        for number, ((flow, message), delay_ns) in enumerate(zip(talk(), delays_ns, strict=True))
    ]
    records: list[Record] = []
    for now_ns, _, flow, message in sorted(arrivals):
        records += ordered.advance(now_ns)
        records += ordered.message(flow, message)
    return records + ordered.finish()


@pytest.mark.parametrize("seed", range(5))
def test_keys_that_are_late_change_nothing(seed: int) -> None:
    chance = random.Random(seed)
    expected = told(in_time())
    assert told(late([chance.randrange(LAG_NS) for _ in talk()])) == expected
    names = Counter(each["op"]["name"] for each in map(as_dict, late([0] * len(talk()))))
    assert names["Rename_Task"] == CALLS - 1  # once, though seen on both legs


def test_what_is_later_than_that_is_told_all_the_same() -> None:
    """Here the leg behind the proxy: then each leg tells its own."""
    delays = [LAG_NS + 500 * MS if flow == INNER else 0 for flow, _ in talk()]
    found = [as_dict(each) for each in late(delays)]
    told_of = Counter(
        (each["op"]["name"], each["target"]["id"]) for each in found if each["kind"] == "action"
    )
    assert len(told_of) == CALLS - 1


def test_nothing_waits_without_end() -> None:
    """A full table lets go of the oldest early, in order; nothing is lost."""
    assert told(late([0] * len(talk()), held_max=4)) == told(in_time())


def test_without_lag_everything_passes_at_once() -> None:
    ordered = InOrder(Analysis(new_id=Numbered()), 0)
    flow, message = talk()[0]
    ordered.message(flow, message)
    assert [each.kind for each in ordered.advance(message.end_ns)] == ["login"]
