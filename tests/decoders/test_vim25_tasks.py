"""A task's end in every read that can show it: whole, split, updated, listed."""

import pytest

from decoders.message import Outcome, Target, TaskChanged
from decoders.vim25 import Vim25
from tests.decoders.crafting import (
    COOKIE,
    DIALECTS,
    Dialect,
    answer,
    fault,
    hasher,
    only,
    pyvmomi,
    transaction,
)

vim25 = Vim25(hasher)
COLLECTOR = ("PropertyCollector", "propertyCollector")
TASK = ("Task", "task-7")
INFO = (
    '<key>task-7</key><task type="Task">task-7</task><name>CloneVM_Task</name>'
    '<descriptionId>VirtualMachine.clone</descriptionId><entity type="VirtualMachine">vm-1</entity>'
    "<entityName>web-01</entityName><state>{state}</state><cancelled>false</cancelled>{more}"
    '<reason xsi:type="TaskReasonUser"><userName>VSPHERE.LOCAL\\svc</userName></reason>'
    "<queueTime>2026-01-01T00:00:00Z</queueTime><eventChainId>1</eventChainId>"
    "<parentTaskKey>task-5</parentTaskKey><rootTaskKey>task-3</rootTaskKey>"
    "<activationId>act-1</activationId>"
)
DONE = INFO.format(
    state="success",
    more='<result xsi:type="ManagedObjectReference" type="VirtualMachine">vm-9</result>',
)
FAILED = INFO.format(
    state="error",
    more='<error><fault xsi:type="InvalidPowerState"><requestedState>poweredOff</requestedState>'
    "</fault><localizedMessage>no</localizedMessage></error>",
)
RUNNING = INFO.format(state="running", more="<progress>40</progress>")


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def _check_done(change: TaskChanged) -> None:
    assert (change.task, change.outcome, change.fault) == ("task-7", Outcome.SUCCESS, "")
    assert change.operation == "VirtualMachine.clone"
    assert change.entity == Target("VirtualMachine", "vm-1", "web-01")
    assert change.result == Target("VirtualMachine", "vm-9")
    assert change.user == "VSPHERE.LOCAL\\svc"
    assert (change.parent_task, change.root_task, change.activation_id) == (
        "task-5",
        "task-3",
        "act-1",
    )


def test_fetch_of_info(dialect: Dialect) -> None:
    request = dialect("Fetch", TASK, "<prop>info</prop>", operation_id="op-1")
    returned = f'<returnval xsi:type="TaskInfo">{DONE}</returnval>'
    change = only(vim25.transaction(transaction(request, answer("Fetch", returned))))
    _check_done(change)
    assert (change.token, change.operation_id) == (hasher(COOKIE), "op-1")


def test_fetch_of_a_single_property() -> None:
    request = pyvmomi("Fetch", TASK, "<prop>info.state</prop>")
    returned = '<returnval xsi:type="TaskInfoState">success</returnval>'
    change = only(vim25.transaction(transaction(request, answer("Fetch", returned))))
    assert (change.task, change.outcome, change.operation) == ("task-7", Outcome.SUCCESS, "")


def test_failed_task() -> None:
    request = pyvmomi("Fetch", TASK, "<prop>info</prop>")
    returned = f'<returnval xsi:type="TaskInfo">{FAILED}</returnval>'
    change = only(vim25.transaction(transaction(request, answer("Fetch", returned))))
    assert (change.outcome, change.fault) == (Outcome.FAILURE, "InvalidPowerState")


@pytest.mark.parametrize("state", ["running", "queued", "nonsense", ""])
def test_only_ended_states_are_said(state: str) -> None:
    request = pyvmomi("Fetch", TASK, "<prop>info</prop>")
    returned = f"<returnval>{INFO.format(state=state, more='')}</returnval>"
    assert vim25.transaction(transaction(request, answer("Fetch", returned))) == []


SPEC = (
    "<specSet><propSet><type>Task</type><pathSet>info</pathSet></propSet><objectSet>"
    '<obj type="Task">task-7</obj></objectSet></specSet>'
)


def _content(properties: str) -> str:
    return f'<obj type="Task">task-7</obj>{properties}'


def _property(name: str, value: str, attributes: str = "") -> str:
    return f"<propSet><name>{name}</name><val{attributes}>{value}</val></propSet>"


WHOLE = _property("info", DONE, ' xsi:type="TaskInfo"')


@pytest.mark.parametrize(
    ("operation", "wrapped"),
    [
        ("RetrieveProperties", "<returnval>{}</returnval>"),
        ("RetrievePropertiesEx", "<returnval><objects>{}</objects></returnval>"),
        (
            "ContinueRetrievePropertiesEx",
            "<returnval><token>1</token><objects>{}</objects></returnval>",
        ),
    ],
)
def test_object_content(dialect: Dialect, operation: str, wrapped: str) -> None:
    body = answer(operation, wrapped.format(_content(WHOLE)))
    change = only(vim25.transaction(transaction(dialect(operation, COLLECTOR, SPEC), body)))
    _check_done(change)


def test_split_properties() -> None:
    split = "".join(
        [
            _property("info.state", "error", ' xsi:type="TaskInfoState"'),
            _property(
                "info.error",
                '<fault xsi:type="NoPermission"><privilegeId>x</privilegeId></fault>',
                ' xsi:type="LocalizedMethodFault"',
            ),
            _property(
                "info.entity", "vm-1", ' type="VirtualMachine" xsi:type="ManagedObjectReference"'
            ),
            _property("info.descriptionId", "VirtualMachine.destroy"),
            _property("info.result", "", ' xsi:type="xsd:string"'),
        ]
    )
    body = answer(
        "RetrievePropertiesEx", f"<returnval><objects>{_content(split)}</objects></returnval>"
    )
    request = pyvmomi("RetrievePropertiesEx", COLLECTOR, SPEC)
    change = only(vim25.transaction(transaction(request, body)))
    assert (change.outcome, change.fault) == (Outcome.FAILURE, "NoPermission")
    assert (change.entity, change.result) == (Target("VirtualMachine", "vm-1"), Target())
    assert change.operation == "VirtualMachine.destroy"


@pytest.mark.parametrize("operation", ["WaitForUpdatesEx", "WaitForUpdates", "CheckForUpdates"])
@pytest.mark.parametrize("whole", [True, False])
def test_updates(operation: str, whole: bool) -> None:
    changes = WHOLE if whole else _property("info.state", "success")
    changes = changes.replace("propSet>", "changeSet>").replace("<val", "<op>assign</op><val")
    body = answer(
        operation,
        "<returnval><version>2</version><filterSet><filter>f</filter><objectSet><kind>modify</kind>"
        f"{_content(changes)}</objectSet></filterSet></returnval>",
    )
    change = only(vim25.transaction(transaction(pyvmomi(operation, COLLECTOR), body)))
    assert (change.task, change.outcome) == ("task-7", Outcome.SUCCESS)


@pytest.mark.parametrize("operation", ["ReadNextTasks", "ReadPreviousTasks"])
def test_history(operation: str) -> None:
    body = answer(operation, f"<returnval>{DONE}</returnval><returnval>{RUNNING}</returnval>")
    collector = ("TaskHistoryCollector", "session[52k]52c")
    change = only(vim25.transaction(transaction(pyvmomi(operation, collector), body)))
    _check_done(change)


def test_latest_page_of_a_collector() -> None:
    page = f'<returnval xsi:type="ArrayOfTaskInfo"><TaskInfo>{DONE}</TaskInfo></returnval>'
    request = pyvmomi(
        "Fetch", ("TaskHistoryCollector", "session[52k]52c"), "<prop>latestPage</prop>"
    )
    _check_done(only(vim25.transaction(transaction(request, answer("Fetch", page)))))


def test_info_of_other_objects_is_no_task() -> None:
    request = pyvmomi("Fetch", ("ScheduledTask", "schedule-1"), "<prop>info</prop>")
    returned = "<returnval><state>success</state><name>nightly</name></returnval>"
    assert vim25.transaction(transaction(request, answer("Fetch", returned))) == []


def test_refused_read_says_nothing() -> None:
    request = pyvmomi("Fetch", TASK, "<prop>info</prop>")
    gone = fault("ManagedObjectNotFound", '<obj type="Task">task-7</obj>')
    assert vim25.transaction(transaction(request, gone, status=500)) == []


@pytest.mark.parametrize("cut", range(0, 1500, 61))
def test_cut_read_never_says_another_state(cut: int) -> None:
    request = pyvmomi("Fetch", TASK, "<prop>info</prop>")
    body = answer("Fetch", f'<returnval xsi:type="TaskInfo">{FAILED}</returnval>')[:cut]
    for change in vim25.transaction(transaction(request, body)):
        assert isinstance(change, TaskChanged)
        assert change.outcome is Outcome.FAILURE
        assert change.fault in ("", "InvalidPowerState")
        assert change.user in ("", "VSPHERE.LOCAL\\svc")
