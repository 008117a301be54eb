"""What the decoders ask the core for: everything that says something, and no poll.

`wanted` is the contract of sensor/core/interest.h in Python: rules in order, the first that the
whole transaction satisfies decides which bodies are handed up. It remembers nothing, so every
answer counts as changed.
"""

from fnmatch import fnmatchcase
from xmlrpc.client import dumps

import pytest

from decoders.decoder import TransactionDecoder
from decoders.http import path_of
from decoders.message import (
    Message,
    Rule,
    Transaction,
    Want,
)
from decoders.registry import transaction_decoders
from tests.decoders.crafting import (
    answer,
    fault,
    govc,
    hasher,
    pyvmomi,
    rest,
    rest_json,
    transaction,
)

DECODERS = transaction_decoders(hasher)
RULES = [rule for decoder in DECODERS for rule in decoder.rules()]
PROPERTIES = [name for decoder in DECODERS for name in decoder.object_properties()]
VM = ("VirtualMachine", "vm-1")
TASK = ("Task", "task-7")
COLLECTOR = ("PropertyCollector", "propertyCollector")
MANAGER = ("SessionManager", "SessionManager")
INSTANCE = ("ServiceInstance", "ServiceInstance")


def wanted(done: Transaction) -> Rule | None:
    return next((rule for rule in RULES if _satisfies(done, rule)), None)


def _satisfies(done: Transaction, rule: Rule) -> bool:
    if rule.operation:
        if not done.operation or not fnmatchcase(done.operation, rule.operation):
            return False
    elif done.method != rule.method or not fnmatchcase(path_of(done.target), rule.path):
        return False
    if rule.want & Want.FAILED_ONLY and 0 < done.status < 400:
        return False
    identity = tuple(f">{name}</" for name in PROPERTIES)
    if rule.want & Want.NEW_OBJECTS and not _holds(done.response_body, identity):
        return False
    return _holds(done.request_body, rule.request_has) and _holds(
        done.response_body, rule.response_has
    )


def _holds(body: bytes, needles: tuple[str, ...]) -> bool:
    return not needles or any(needle.encode() in body for needle in needles)


def handed_up(done: Transaction, rule: Rule) -> Transaction:
    """Without the bodies that the rule does not ask for."""
    return done._replace(
        request_body=done.request_body if rule.want & Want.REQUEST_BODY else b"",
        response_body=done.response_body if rule.want & Want.RESPONSE_BODY else b"",
    )


def decode(done: Transaction) -> list[Message]:
    decoder = next(each for each in DECODERS if each.claims(done))
    return decoder.transaction(done)


def _soap(
    operation: str,
    this: tuple[str, str],
    arguments: str = "",
    returned: str = "",
    refused: str = "",
) -> Transaction:
    body = fault(refused) if refused else answer(operation, returned)
    return transaction(
        pyvmomi(operation, this, arguments),
        body,
        status=500 if refused else 200,
        operation=operation,
        this=this,
    )


def _info(state: str) -> str:
    return f'<returnval xsi:type="TaskInfo"><state>{state}</state></returnval>'


def _objects(kind: str, identifier: str, name: str, value: str) -> str:
    return (
        f'<returnval><objects><obj type="{kind}">{identifier}</obj><propSet><name>{name}</name>'
        f"<val>{value}</val></propSet></objects></returnval>"
    )


_ID = "0b1f2c3d-1111-4222-8333-444455556666"
SPEC = "<specSet><propSet><type>{}</type><pathSet>{}</pathSet></propSet></specSet>"
SAYING = {
    "login": _soap("Login", MANAGER, "<userName>bob</userName>",
        "<returnval><key>k</key></returnval>"),
    "refused login": _soap("Login", MANAGER, "<userName>bob</userName>", refused="InvalidLogin"),
    "logout": _soap("Logout", MANAGER),
    "clone ticket": _soap("AcquireCloneTicket", MANAGER, "", "<returnval>t</returnval>"),
    "task method": _soap("PowerOffVM_Task", VM, "", '<returnval type="Task">task-7</returnval>'),
    "refused task method": _soap("Destroy_Task", VM, refused="NoPermission"),
    "synchronous": _soap("MarkAsTemplate", VM),
    "by verb": _soap("UpdateSomethingNew", VM),
    "guest": _soap("StartProgramInGuest", VM, '<vm type="VirtualMachine">vm-1</vm>'),
    "nfc": _soap("NfcGetVmFiles", ("NfcService", "nfcService")),
    "esxcli": _soap("ExecuteSoap", VM, "<method>vim.EsxCLI.system.account.add</method>"),
    "content": _soap("RetrieveServiceContent", INSTANCE, "",
        "<returnval><about><apiType>HostAgent</apiType></about></returnval>"),
    "fetched content": _soap("Fetch", INSTANCE, "<prop>content</prop>",
        "<returnval><about><apiType>HostAgent</apiType></about></returnval>"),
    "fetched task": _soap("Fetch", TASK, "<prop>info</prop>", _info("success")),
    "failed task": _soap("Fetch", TASK, "<prop>info</prop>", _info("error")),
    "split task": _soap("RetrievePropertiesEx", COLLECTOR, SPEC.format("Task", "info.state"),
        _objects("Task", "task-7", "info.state", "success")),
    "updated task": _soap("WaitForUpdatesEx", COLLECTOR, "",
        "<returnval><filterSet><objectSet><obj type='Task'>task-7</obj><changeSet><name>info.state"
        "</name><val>error</val></changeSet></objectSet></filterSet></returnval>"),
    "session list": _soap("Fetch", MANAGER, "<prop>sessionList</prop>",
        "<returnval><UserSession><key>k</key></UserSession></returnval>"),
    "inventory": _soap("RetrievePropertiesEx", COLLECTOR, SPEC.format("VirtualMachine", "name"),
        _objects("VirtualMachine", "vm-1", "name", "web")),
    "inventory by uuid": _soap("RetrieveProperties", COLLECTOR,
        SPEC.format("VirtualMachine", "config.uuid"),
        _objects("VirtualMachine", "vm-1", "config.uuid", "42").replace("objects>", "x>")),
    "expired": _soap("CurrentTime", INSTANCE, refused="NotAuthenticated"),
    "json action": rest("POST", "/sdk/vim25/8.0.3.0/VirtualMachine/vm-1/PowerOffVM_Task"),
    "json login": rest("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/Login"),
    "json task": rest("GET", "/sdk/vim25/8.0.3.0/Task/task-7/info",
        response_body=b'{"_typeName":"TaskInfo","key":"task-7","state":"success"}'),
    "datastore file": rest("PUT", "/folder/x.iso?dsName=ds"),
    "console": rest("GET", "/ticket/52", status=101),
    "rest login": rest("POST", "/api/session", status=201, response_body=b'"t"'),
    "rest action": rest("POST", "/api/vcenter/vm/vm-1/power?action=stop"),
    "rest expired": rest("GET", "/rest/vcenter/vm", head="vmware-api-session-id: t", status=401),
    "cloud login": rest("POST", "/api/sessions"),
    "cloud action": rest("DELETE", "/api/vApp/vapp-1", head="x-vcloud-authorization: t"),
    "cloud task": rest("GET", "/api/task/664a067a-c4f5-49cd-a16d-e263c5db7db3",
        head="x-vcloud-authorization: t", response_body=b'<Task status="success"/>'),
    "cloud task in json": rest("GET", "/api/task/664a067a-c4f5-49cd-a16d-e263c5db7db3",
        head="x-vcloud-authorization: t", response_head="Content-Type: application/json",
        response_body=b'{"type":"application/vnd.vmware.vcloud.task+json","status":"error"}'),
    "cloud expired": rest("GET", "/api/org", head="x-vcloud-authorization: t", status=401),
    "openstack login": rest("POST", "/v3/auth/tokens", status=201),
    "openstack validation": rest_json("GET", "/v3/auth/tokens", None,
        {"token": {"user": {"name": "bob"}}}, head="X-Auth-Token: t\r\nX-Subject-Token: u"),
    "openstack action": rest_json("POST", f"/v2.1/servers/{_ID}/action", {"os-stop": None}, {},
        head="X-Auth-Token: t"),
    "openstack volume": rest("POST", "/volume/v3/5f0c1d2e3a4b4c5d8e9f0a1b2c3d4e5f/volumes",
        head="X-Auth-Token: t"),
    "aria login": rest_json("POST", "/iaas/api/login", {"refreshToken": "r"}, {"token": "t"}),
    "aria action": rest_json("POST", f"/deployment/api/deployments/{_ID}/requests",
        {"actionId": "Deployment.PowerOff"}, {"id": "1"}),
    "aria logout": rest("DELETE", "/identity/api/tokens/t"),
    "proxmox login": rest_json("POST", "/api2/json/access/ticket", None,
        {"data": {"ticket": "PVE:a@pam:1::s", "username": "a@pam"}}),
    "proxmox action": rest("POST", "/api2/json/nodes/n/qemu/100/status/start"),
    "proxmox task": rest_json("GET", "/api2/json/nodes/n/tasks/UPID:n:1/status", None,
        {"data": {"exitstatus": "OK"}}),
    "ovirt login": rest("POST", "/ovirt-engine/sso/oauth/token"),
    "ovirt negotiated login": rest("POST", "/ovirt-engine/sso/oauth/token-http-auth"),
    "ovirt logout": rest("POST", "/ovirt-engine/services/sso-logout"),
    "ovirt action": rest("POST", f"/ovirt-engine/api/vms/{_ID}/start", body=b"<action/>"),
    "prism login": rest("GET", "/api/nutanix/v3/users/me", head="Authorization: Basic Ym9iOng="),
    "prism action": rest("POST", f"/api/vmm/v4.0/ahv/config/vms/{_ID}/$actions/power-on"),
    "prism task": rest_json("GET", f"/api/nutanix/v3/tasks/{_ID}", None, {"status": "FAILED"}),
    "xapi login": rest("POST", "/", body=dumps(("root", "x"), "session.login_with_password")
        .encode()),
    "xapi action": rest("POST", "/RPC2", body=dumps(("OpaqueRef:s", "OpaqueRef:v"),
        "VM.start").encode()),
    "xapi task": rest_json("POST", "/jsonrpc", {"method": "task.get_status", "params": ["s"]},
        {"result": "success"}),
    "winrm login": rest("POST", "/wsman", head="Authorization: Basic Ym9iOng=", flags=16),
}  # fmt: skip
POLLS = {
    "time": _soap("CurrentTime", INSTANCE),
    "running task": _soap("Fetch", TASK, "<prop>info</prop>", _info("running")),
    "running split task": _soap("RetrievePropertiesEx", COLLECTOR,
        SPEC.format("Task", "info.state"),
        _objects("Task", "task-7", "info.state", "running")),
    "power state": _soap("RetrievePropertiesEx", COLLECTOR,
        SPEC.format("VirtualMachine", "runtime.powerState"),
        _objects("VirtualMachine", "vm-1", "runtime.powerState", "poweredOn")),
    "whole summary": _soap("Fetch", VM, "<prop>summary</prop>", "<returnval/>"),
    "empty update": _soap("WaitForUpdatesEx", COLLECTOR),
    "refused read": _soap("Fetch", TASK, "<prop>info</prop>", refused="ManagedObjectNotFound"),
    "filter": _soap("CreateFilter", COLLECTOR, "",
        "<returnval type='PropertyFilter'>session[k]1</returnval>"),
    "end of filter": _soap("DestroyPropertyFilter", ("PropertyFilter", "session[k]1")),
    "performance": _soap("QueryPerf", ("PerformanceManager", "PerfMgr")),
    "lease progress": _soap("HttpNfcLeaseProgress", ("HttpNfcLease", "session[k]1")),
    "json poll": rest("POST", "/sdk/vim25/8.0.3.0/PropertyCollector/pc/WaitForUpdatesEx"),
    "rest read": rest("GET", "/api/vcenter/vm"),
    "cloud running task": rest("GET", "/api/task/664a067a-c4f5-49cd-a16d-e263c5db7db3",
        response_body=b'<Task status="running" operation="x"/>'),
    "cloud read": rest("GET", "/api/vApp/vapp-1/owner"),
    "openstack read": rest("GET", f"/v2.1/servers/{_ID}", head="X-Auth-Token: t"),
    "proxmox read": rest("GET", "/api2/json/cluster/resources"),
    "proxmox running task": rest_json("GET", "/api2/json/nodes/n/tasks/UPID:n:1/status", None,
        {"data": {"status": "running"}}),
    "ovirt read": rest("GET", "/ovirt-engine/api/vms"),
    "prism running task": rest_json("GET", f"/api/nutanix/v3/tasks/{_ID}", None,
        {"status": "RUNNING"}),
    "xapi poll": rest("POST", "/", body=dumps(("OpaqueRef:s", ["*"], "", 30.0),
        "event.from").encode()),
    "xapi running task": rest_json("POST", "/jsonrpc", {"method": "task.get_status",
        "params": ["s"]}, {"result": "pending"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SAYING)
def test_what_says_something_is_asked_for_with_the_bodies_it_needs(name: str) -> None:
    rule = wanted(SAYING[name])
    assert rule is not None
    assert decode(handed_up(SAYING[name], rule)) == decode(SAYING[name]) != []


@pytest.mark.parametrize("name", POLLS)
def test_no_poll_is_asked_for(name: str) -> None:
    assert wanted(POLLS[name]) is None


def test_needles_do_not_depend_on_the_client() -> None:
    done = SAYING["fetched task"]
    request = govc("Fetch", TASK, "<prop>info</prop>")
    assert wanted(done._replace(request_head=request[0], request_body=request[1])) is not None


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_rules_are_well_formed(decoder: TransactionDecoder) -> None:
    for rule in decoder.rules():
        assert bool(rule.operation) != bool(rule.method and rule.path)
        assert all(rule.request_has) and all(rule.response_has)
        assert 0 <= rule.want <= sum(Want)
    assert decoder.token_headers() or decoder.token_cookies() or decoder.name in ("sts", "xapi")
