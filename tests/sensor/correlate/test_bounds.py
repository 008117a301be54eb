"""What the tables of the correlation give up is counted, and every count is exported."""

import pytest

from decoders.message import ObjectSeen, Target
from sensor.calls import UNNAMED_MAX
from sensor.correlate.actions import NAMESAKES_MAX, Fact
from sensor.correlate.chains import PAIRS_MAX
from sensor.correlate.habits import CLIENTS_MAX, Habits
from sensor.correlate.inventory import LINKS_MAX, Inventory
from sensor.correlate.orphans import ORPHANS_MAX
from sensor.correlate.references import References
from tests.sensor.talk import ADMIN, BOB, ESX1, VC, VCD, Talk, vm

VMS = [vm(f"vm-{number}") for number in range(NAMESAKES_MAX * 3)]


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_habits() -> None:
    habits = Habits()
    for number in range(CLIENTS_MAX + 7):
        habits.note(f"10.{number >> 8}.{number & 255}.1", True)
    assert habits.shed == 7
    later = Habits()
    later.recall([*habits.learned(), ("10.99.0.1", 1, 0)])
    assert later.shed == 1 and len(later.learned()) == CLIENTS_MAX


def test_actions_that_wait_for_a_parent_under_one_id(talk: Talk) -> None:
    for target in VMS[: ORPHANS_MAX + 5]:
        talk.call(VC, ESX1, "Destroy_Task", target, operation_id="same")
    assert talk.analysis.gauges()["waiting_actions_shed"] == 5
    assert talk.analysis.gauges()["waiting_ids_shed"] == 0


def test_actions_of_one_id_and_of_one_object(talk: Talk) -> None:
    for target in VMS[: NAMESAKES_MAX + 3]:
        talk.call(ADMIN, VC, "Destroy_Task", target, operation_id="same")
    assert talk.analysis.gauges()["namesakes_shed"] == 3
    for _ in range(NAMESAKES_MAX + 2):
        talk.call(ADMIN, VC, "Reset", VMS[-1])
    assert talk.analysis.gauges()["namesakes_shed"] == 3 + 2


def test_links_of_one_object() -> None:
    inventory = Inventory()
    for number in range(LINKS_MAX + 4):
        inventory.contain((VCD, f"vapp-{number}"), (VC, "vm-1"), 0.9)
    assert inventory.links_shed == 4
    inventory.contain((VCD, f"vapp-{LINKS_MAX + 3}"), (VC, "vm-1"), 1.0)
    assert inventory.links_shed == 4  # that one is known
    for number in range(LINKS_MAX + 1):
        inventory.link((VC, "vm-2"), (f"10.9.0.{number}", "vm"), 0.9)
    assert inventory.links_shed == 5
    seen = ObjectSeen(target=vm("vm-1"), container=Target("VirtualApp", "x"), time_ns=1, end_ns=2)
    inventory.seen(VC, seen)
    assert inventory.links_shed == 6


def test_a_link_that_is_seen_again_pushes_out_no_other() -> None:
    inventory = Inventory()
    for number in range(LINKS_MAX):
        inventory.contain((VC, f"vapp-{number}"), (VC, "vm-1"), 0.9)
    inventory.contain((VC, "vapp-3"), (VC, "vm-1"), 1.0)
    assert len(inventory.holders((VC, "vm-1"), VC)) == LINKS_MAX


def test_tasks_that_were_named() -> None:
    references = References(3)
    for number in range(5):
        references.keep((VCD, f"task-{number}"), number)
    assert references.shed == 2
    assert references.parent((VCD, "task-0")) == 0 and references.parent((VCD, "task-4")) == 4


def test_actions_of_a_session_without_a_name(talk: Talk) -> None:
    for _ in range(UNNAMED_MAX + 6):
        talk.call(BOB, VC, "Reset", VMS[0], token="t-unseen")
    assert talk.analysis.gauges()["unnamed_actions_shed"] == 6


def test_each_is_exported(talk: Talk) -> None:
    exported = set(talk.analysis.gauges())
    assert exported >= {
        "habits_shed", "experience_shed", "waiting_actions_shed", "namesakes_shed",
        "object_links_shed", "redraws_shed", "passed_ids_shed", "unnamed_actions_shed",
    }  # fmt: skip
    talk.analysis._calls.correlator.experience.shed = 3
    assert talk.analysis.gauges()["experience_shed"] == 3


def test_actions_that_refer_to_each_other(talk: Talk) -> None:
    """No traffic does, but what says who asked for what comes from two sides."""
    correlator = talk.analysis._calls.correlator
    for name in ("one", "two"):
        talk.call(ADMIN, VC, "Reset", VMS[0], operation_id=name, user=name)
    talk.wait(5)
    one, two = (next(correlator.actions.with_id(name)) for name in ("one", "two"))
    correlator.refer(one, two, Fact("task", "task-1", "proved"))
    assert correlator.redraws_shed == 0
    correlator.refer(two, one, Fact("task", "task-2", "proved"))
    assert correlator.redraws_shed > 0
    assert talk.analysis.gauges()["redraws_shed"] == correlator.redraws_shed
    assert max(len(path.pairs) for path in one.paths) <= PAIRS_MAX
