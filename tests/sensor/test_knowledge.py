"""What was learned of a site survives a restart, and shows."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from decoders.message import ObjectSeen, Target
from sensor import learned
from sensor.accounts import ADDRESSES_MAX, Accounts
from sensor.accuracy_checks import accuracy_findings
from sensor.correlate.experience import Experience
from sensor.correlate.inventory import Inventory, Known
from sensor.finding import Level
from sensor.history import Bounds, History, known
from sensor.learned import News
from sensor.service_checks import service_findings
from sensor.service_settings import ServiceSettings
from sensor.settings import Settings
from tests.command import hoptap, write_config
from tests.sensor.correlate.test_ladder import make_vm
from tests.sensor.talk import ALICE, BOB, CAROL, ESX1, VC, VCD, Talk, vapp, vm

DAY_NS = 86_400 * 10**9


def taught() -> Talk:
    """A site that passes ids on, for a while."""
    talk = Talk()
    for client, user in ((BOB, "bob@acme"), (ALICE, "alice@acme"), (CAROL, "carol@acme")):
        talk.login(client, VCD, user)
    make_vm(talk, BOB, "shop", ESX1, ("vm-61", "22"))
    for number in range(40):
        client = (BOB, ALICE, CAROL)[number % 3]
        asked = f"q-{number}"
        talk.call(client, VCD, "powerOn", vapp("shop"), request_id=asked)
        talk.call(VCD, VC, "PowerOnVM_Task", vm("vm-61"), operation_id=asked)
        talk.call(VC, ESX1, "PowerOnVM_Task", vm("22"), operation_id=f"{asked}-01")
        talk.wait(3)
    return talk


@pytest.fixture(scope="module")
def news() -> News:
    return taught().analysis.knowledge.news()


def restarted(news: News, tmp_path: Path) -> Talk:
    """A new sensor that has read what the last one wrote."""
    path = tmp_path / "history.db"
    history = History(path)
    history.remember(news)
    history.close()
    talk = Talk()
    talk.analysis.knowledge.recall(known(path))
    return talk


def test_a_restart_in_the_middle_knows_which_machine_it_is(news: News, tmp_path: Path) -> None:
    talk = restarted(news, tmp_path)
    talk.login(BOB, VCD, "bob@acme")
    talk.login(ALICE, VCD, "alice@acme")
    talk.call(BOB, VCD, "powerOff", vapp("shop"), task="b")
    talk.call(ALICE, VCD, "powerOff", vapp("mail"), task="a")
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"), user="vCloudService")
    talk.call(VC, ESX1, "PowerOffVM_Task", vm("22"), user="vpxuser")
    talk.finish()
    assert talk.path("PowerOffVM_Task", ESX1) == "VCD:bob@acme:VC:vCloudService:ESX:vpxuser"


def test_lessons_are_taken_up(news: News, tmp_path: Path) -> None:
    correlator = restarted(news, tmp_path).analysis.knowledge.correlator
    pairs = correlator.experience.pairs
    assert pairs["VCD power_on", "VC power_on"].right >= 30
    assert correlator.habits.passes_ids(VCD) and correlator.habits.passes_ids(VC)


def test_lessons_of_another_version_are_left(caplog: pytest.LogCaptureFixture) -> None:
    talk = Talk()
    lessons = {"experience": {"timing": 1}, "habits": [["10.0.0.1"]]}
    talk.analysis.knowledge.recall(News(lessons=lessons))
    assert len([each for each in caplog.messages if "is not taken up" in each]) == 2
    assert talk.analysis.knowledge.correlator.experience.pairs == {}


def test_accounts_are_known_by_who_acts_under_them(news: News) -> None:
    accounts = {(each.service, each.user): each for each in news.accounts}
    service, host = accounts["VC", "vCloudService"], accounts["ESX", "vpxuser"]
    assert (service.caller, service.addresses) == ("VCD", (VCD,))
    assert set(service.people) == {"VCD:bob@acme", "VCD:alice@acme", "VCD:carol@acme"}
    assert host.caller == "VC" and host.calls >= 40


def test_addresses_of_an_account_are_bounded() -> None:
    talk, accounts = taught(), Accounts()
    record = next(
        each for each in talk.records if each.to.user == "vCloudService" and each.kind == "action"
    )
    for number in range(ADDRESSES_MAX + 5):
        accounts.note(replace(record, source=replace(record.source, ip=f"10.9.0.{number}")))
    [account] = accounts.learned()
    assert len(account.addresses) == ADDRESSES_MAX and account.calls == ADDRESSES_MAX + 5


def test_check_shows_them(news: News) -> None:
    found = [f"{each.subject}: {each.text}" for each in service_findings(Settings(), news)]
    assert any(
        line.startswith(f"learned account vCloudService: VCD acts under it at VC, from {VCD}: ")
        and line.endswith("for 3 people")
        for line in found
    ), found
    assert any(line.startswith("learned inventory: ") for line in found)


def test_check_says_who_else_uses_a_services_account(news: News) -> None:
    site = ServiceSettings("KEY", addresses=("10.0.9.9",), accounts=("vCloudService",))
    problems = [
        each.text
        for each in service_findings(Settings(service=(site,)), news)
        if each.level is Level.PROBLEM and each.subject == "account vCloudService"
    ]
    assert len(problems) == 1 and problems[0].endswith("the configuration says that it is KEY's")


def test_accuracy_is_told_by_kind_of_hop(news: News) -> None:
    found = list(accuracy_findings(news))
    told = {each.subject: each.text for each in found}
    assert told["accuracy VCD power_on -> VC power_on"].endswith("guessed right (100.0%)")
    assert sum(each.subject == "trust" for each in found) == 3
    [nothing, *_] = accuracy_findings(News())
    assert nothing.level is Level.NOTE and "no hop with a key" in nothing.text


def test_the_command_tells_it(news: News, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    history.remember(news)
    history.close()
    config = write_config(tmp_path, history={"enabled": True, "path": str(path)})
    lines = hoptap("check", "--accuracy", "-c", config).stdout.splitlines()
    assert any(line.startswith("ok       accuracy VCD power_on -> VC power_on: ") for line in lines)


def test_objects_that_are_gone_leave_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history, inventory = History(path, clock_ns=lambda: DAY_NS), Inventory()
    for identity in ("vm-1", "vm-2"):
        target = Target("VirtualMachine", identity, f"web-{identity}")
        inventory.seen(VC, ObjectSeen(time_ns=1, end_ns=1, target=target, uuid=f"u-{identity}"))
    changed, gone = inventory.take_changes()
    history.remember(News(objects=changed, gone=gone))
    inventory.gone(VC, "vm-1", 5)
    changed, gone = inventory.take_changes()
    assert ([each.id for each in changed], gone) == ([], [(VC, "vm-1")])
    history.remember(News(objects=changed, gone=gone))
    history.close()
    [left] = known(path).objects
    assert (left.id, left.name, left.uuid) == ("vm-2", "web-vm-2", "u-vm-2")
    assert inventory.take_changes() == ([], [])
    old = History(path, bounds=Bounds(keep_days=1), clock_ns=lambda: 3 * DAY_NS)
    old.remember(News())
    old.close()
    assert known(path).objects == []


def test_a_moref_used_again_while_nobody_looked_is_another_machine() -> None:
    before, inventory = Inventory(), Inventory()
    said = ObjectSeen(
        time_ns=1, end_ns=1, target=Target("VirtualMachine", "vm-1", "web"), instance_uuid="a"
    )
    before.seen(VC, said)
    before.link((VC, "vm-1"), (ESX1, "22"), 1.0)
    inventory.recall(before.take_changes()[0])
    assert inventory.peers((VC, "vm-1"), ESX1) == {"22": 1.0}
    inventory.seen(VC, replace(said, instance_uuid="b"))
    assert inventory.peers((VC, "vm-1"), ESX1) == {}


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("account", "body", "{"),
        ("account", "body", "null"),
        ("account", "body", '["VC", "u", "VCD", 5, 6, 1, 1]'),
        ("account", "body", '["VC", "u", "VCD", [1], [], 1, 1]'),
        ("account", "body", b"\xff\xfe"),
        ("object", "body", ""),
        ("object", "body", "[" * 100_000),
        ("object", "body", '["h", "i", "t", "n", "u", "v", [["a", "b", "c"]], []]'),
        ("object", "body", '["h", "i", "t", "n", "u", "v", [["a", "b", NaN]], []]'),
        ("address", "strength", 9),
        ("address", "strength", "x"),
        ("address", "seen_ns", "x"),
        ("lesson", "body", "{"),
    ],
)
def test_damaged_rows_are_left_and_told(
    news: News,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    table: str,
    column: str,
    value: object,
) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    history.remember(news)
    history.close()
    with closing(sqlite3.connect(path)) as database, database:
        rows = database.execute(f"UPDATE {table} SET {column} = ?", (value,)).rowcount
    found = known(path)
    assert found.unread == rows > 0
    told = [each.text for each in service_findings(Settings(), found) if each.subject == "learned"]
    assert told == [f"{rows:,} damaged rows in the history are left out"]
    assert list(accuracy_findings(found))
    talk = Talk()
    talk.analysis.knowledge.recall(found)
    assert len(caplog.messages) == 1
    talk.call(VCD, VC, "PowerOffVM_Task", vm("vm-61"))
    talk.finish()
    assert talk.records


@pytest.mark.parametrize(
    "lessons",
    [
        {"experience": {"timing": [], "trust": [["DEFINITE", -100, -40.0]], "pairs": []}},
        {"experience": {"timing": [], "trust": [["DEFINITE", 10**400, 1]], "pairs": []}},
        {"experience": {"timing": [], "trust": [["DEFINITE", 9, 9]], "pairs": [["a", "b", 2, 1]]}},
        {"habits": [["10.0.0.1", 99, 0], ["10.0.0.2", float("inf"), 3]]},
    ],
)
def test_of_lessons_that_do_not_fit_nothing_is_kept(lessons: dict[str, Any]) -> None:
    talk = Talk()
    talk.analysis.knowledge.recall(News(lessons=lessons))
    correlator = talk.analysis.knowledge.correlator
    assert correlator.experience.learned() == Experience().learned()
    assert correlator.habits.learned() == []


def test_what_is_kept_of_a_site_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "ROWS_MAX", 10)
    now_ns = DAY_NS
    history = History(tmp_path / "history.db", clock_ns=lambda: now_ns)
    for number in range(30):
        now_ns += 1
        history.remember(News(objects=[Known("h", f"vm-{number}", "", "", "", "", [], [])]))
        history.tick()
    history.close()
    objects = known(tmp_path / "history.db").objects
    assert [each.id for each in objects] == [f"vm-{number}" for number in range(29, 19, -1)]
