"""Cloud Director tasks and inventory, in XML and in JSON."""

import json
from typing import Any

import pytest

from decoders.message import (
    ObjectSeen,
    Outcome,
    Target,
    TaskChanged,
)
from tests.decoders.crafting import only, rest
from tests.decoders.vcloud_crafting import (
    APP,
    DONE_HEAD,
    HEAD,
    HREF,
    MACHINE,
    NS,
    TASK,
    VDC,
    call_xml,
    decode,
)


@pytest.mark.parametrize(
    ("body", "outcome", "fault"),
    [
        (f'<Task {NS} status="success"/>', Outcome.SUCCESS, ""),
        (f'<Task {NS} status="error"/>', Outcome.FAILURE, ""),
        (f"<Task {NS} status='canceled'/>", Outcome.FAILURE, "canceled"),
        (
            f'<Task {NS} status="error"><Error minorErrorCode="BUSY_ENTITY"/></Task>',
            Outcome.FAILURE,
            "BUSY_ENTITY",
        ),
    ],
)
def test_minimal_poll(body: str, outcome: Outcome, fault: str) -> None:
    change = only(call_xml("GET", f"/api/task/{TASK}", "task", body))
    assert isinstance(change, TaskChanged)
    assert (change.task, change.outcome, change.fault) == (TASK, outcome, fault)


@pytest.mark.parametrize("status", ["running", "queued", "preRunning"])
def test_running_task_is_not_said(status: str) -> None:
    assert call_xml("GET", f"/api/task/{TASK}", "task", f'<Task {NS} status="{status}"/>') == []


FULL = (
    f'<Task {NS} id="urn:vcloud:task:{TASK}" status="success" operationName="vappDeploy" '
    f'href="{HREF}/task/{TASK}"><Owner href="{HREF}/vApp/vapp-{APP}" name="appC" '
    'type="application/vnd.vmware.vcloud.vApp+xml"/><User name="alice" href="u"/>'
    '<Organization name="acme" href="o"/><VcTaskList><VcTask name="a" moref="task-11" '
    'status="success"/><VcTask name="b" moref="task-12" status="error"/></VcTaskList></Task>'
)


def _check_full(change: Any) -> None:
    assert (change.task, change.outcome, change.operation) == (
        TASK,
        Outcome.SUCCESS,
        "vappDeploy",
    )
    assert change.entity == Target("VApp", f"vapp-{APP}", "appC")
    assert (change.user, change.lower_tasks) == ("alice", ("task-11", "task-12"))


def test_task_with_its_vcenter_tasks() -> None:
    _check_full(only(call_xml("GET", f"/api/task/{TASK}", "task", FULL)))


def test_task_in_json() -> None:
    body = {
        "id": f"urn:vcloud:task:{TASK}",
        "status": "success",
        "operationName": "vappDeploy",
        "owner": {"href": f"{HREF}/vApp/vapp-{APP}", "name": "appC"},
        "user": {"name": "alice"},
        "type": "application/vnd.vmware.vcloud.task+json",
        "error": None,
        "vcTaskList": {"vcTask": [{"moref": "task-11"}, {"moref": "task-12"}]},
    }
    done = rest(
        "GET",
        f"/api/task/{TASK}",
        head=HEAD,
        response_head=DONE_HEAD.format("task+json;version=38.1"),
        response_body=json.dumps(body).encode(),
    )
    _check_full(only(decode(done)))


def test_list_of_tasks() -> None:
    body = f'<TasksList {NS}>{FULL}<Task status="running" href="{HREF}/task/{VDC}"/></TasksList>'
    _check_full(only(call_xml("GET", f"/api/tasksList/{VDC}", "tasksList", body)))


def test_machines_of_a_vapp() -> None:
    body = (
        f'<VApp {NS} name="appC" id="urn:vcloud:vapp:{APP}"><Children><Vm name="appC-1" '
        f'id="urn:vcloud:vm:{MACHINE}" href="{HREF}/vApp/vm-{MACHINE}"/></Children></VApp>'
    )
    vapp, machine = call_xml("GET", f"/api/vApp/vapp-{APP}", "vApp", body)
    assert isinstance(vapp, ObjectSeen)
    assert isinstance(machine, ObjectSeen)
    assert vapp.target == Target("VApp", f"vapp-{APP}", "appC")
    assert machine.target == Target("Vm", f"vm-{MACHINE}", "appC-1")
    assert machine.container == vapp.target


def test_machines_of_a_query() -> None:
    body = (
        f'<QueryResultRecords {NS}><VMRecord name="appC-1" href="{HREF}/vApp/vm-{MACHINE}" '
        f'container="{HREF}/vApp/vapp-{APP}" containerName="appC"/><OrgRecord name="acme" '
        f'href="{HREF}/org/{VDC}"/></QueryResultRecords>'
    )
    machine = only(call_xml("GET", "/api/query?type=vm", "query.records", body))
    assert machine.target == Target("Vm", f"vm-{MACHINE}", "appC-1")
    assert machine.container == Target("VApp", f"vapp-{APP}", "appC")
