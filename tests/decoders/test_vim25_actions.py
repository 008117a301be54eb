"""Actions on managed objects: target, what they name and return, the tickets they hand out."""

import pytest

from decoders.message import Call, OperationClass, Outcome, Target, TicketIssued
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

VM = ("VirtualMachine", "vm-42")
TASK = '<returnval type="Task">task-7</returnval>'
vim25 = Vim25(hasher)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def test_task_of_a_power_operation(dialect: Dialect) -> None:
    request = dialect("PowerOffVM_Task", VM, operation_id="7a1c-01-e4")
    call = only(vim25.transaction(transaction(request, answer("PowerOffVM_Task", TASK))))
    assert isinstance(call, Call)
    assert (call.api, call.operation, call.operation_class) == (
        "vim25",
        "PowerOffVM_Task",
        OperationClass.POWER,
    )
    assert call.target == Target("VirtualMachine", "vm-42")
    assert (call.outcome, call.task, call.related) == (Outcome.SUCCESS, "task-7", ())
    assert (call.token, call.operation_id) == (hasher(COOKIE), "7a1c-01-e4")


@pytest.mark.parametrize("stated", [True, False])
def test_fault(dialect: Dialect, stated: bool) -> None:
    inner = '<object type="VirtualMachine">vm-42</object><privilegeId>VM.Delete</privilegeId>'
    refused = transaction(
        dialect("Destroy_Task", VM), fault("NoPermission", inner, stated=stated), status=500
    )
    call = only(vim25.transaction(refused))
    assert (call.operation_class, call.outcome) == (OperationClass.DELETE, Outcome.FAILURE)
    assert (call.fault, call.task) == ("NoPermission", "")


def test_fault_whose_name_ends_in_fault() -> None:
    refused = transaction(
        pyvmomi("Destroy_Task", VM), fault("HostConfigFault", stated=False), status=500
    )
    assert only(vim25.transaction(refused)).fault == "HostConfigFault"


@pytest.mark.parametrize(
    ("this", "expected"),
    [
        ('<_this type="VirtualMachine">vm-42</_this>', Target("VirtualMachine", "vm-42")),
        ("<_this>vm-42</_this>", Target("VirtualMachine", "vm-42")),
        ("<_this>resgroup-v9</_this>", Target("VirtualApp", "resgroup-v9")),
        ("<_this>domain-c7</_this>", Target("ClusterComputeResource", "domain-c7")),
        ("<_this>17</_this>", Target("", "17")),
        ('<_this xsi:type="VirtualMachine">17</_this>', Target("VirtualMachine", "17")),
        (
            '<_this xsi:type="v:ManagedObjectReference" type="v:HostSystem">ha-host</_this>',
            Target("HostSystem", "ha-host"),
        ),
        ('<_this type="VirtualMachine"> 1 &amp; 2 </_this>', Target("VirtualMachine", "1 & 2")),
    ],
)
def test_target_forms(this: str, expected: Target) -> None:
    head, body = pyvmomi("Destroy_Task", ("X", "Y"))
    body = body.replace(b'<_this versionId="8.0.3.0" type="X">Y</_this>', this.encode())
    call = only(vim25.transaction(transaction((head, body), answer("Destroy_Task", TASK))))
    assert call.target == expected


def test_request_body_lost_leaves_what_the_core_scanned() -> None:
    head = pyvmomi("Destroy_Task", VM)[0]
    scanned = transaction(
        (head, b""),
        answer("Destroy_Task", TASK),
        operation="Destroy_Task",
        this=VM,
        operation_id="op-9",
    )
    call = only(vim25.transaction(scanned))
    assert (call.operation, call.target.id, call.operation_id) == ("Destroy_Task", "vm-42", "op-9")
    assert call.task == "task-7"


@pytest.mark.parametrize("cut", range(0, 600, 37))
def test_cut_response_never_invents_a_task(cut: int) -> None:
    body = answer("PowerOffVM_Task", TASK)
    call = only(vim25.transaction(transaction(pyvmomi("PowerOffVM_Task", VM), body[:cut])))
    assert call.task == ("task-7" if cut >= body.index(b"</returnval>") + 12 else "")
    assert call.outcome is Outcome.SUCCESS


NAMES = {
    "CreateVM_Task": (
        "<config><name>web-01</name><files><vmPathName>[ds1]</vmPathName></files></config>"
        '<pool type="ResourcePool">resgroup-8</pool><host type="HostSystem">host-9</host>',
        [
            Target("VirtualMachine", name="web-01"),
            Target("DatastoreFile", name="[ds1]"),
            Target("ResourcePool", "resgroup-8"),
            Target("HostSystem", "host-9"),
        ],
    ),
    "CloneVM_Task": (
        '<folder type="Folder">group-v3</folder><name>web-02 &amp; co</name><spec><location>'
        '<datastore type="Datastore">datastore-5</datastore></location><customization><identity>'
        "<password><value>s3cret</value></password></identity></customization></spec>",
        [
            Target("VirtualMachine", name="web-02 & co"),
            Target("Folder", "group-v3"),
            Target("Datastore", "datastore-5"),
        ],
    ),
    "Rename_Task": ("<newName>db</newName>", [Target("VirtualMachine", name="db")]),
    "ReconfigVM_Task": (
        "<spec><name>db2</name></spec>",
        [Target("VirtualMachine", name="db2")],
    ),
    "CreateFolder": ("<name>prod</name>", [Target("Folder", name="prod")]),
    "CreateSnapshot_Task": (
        "<name>before</name><description>d</description>",
        [Target("VirtualMachineSnapshot", name="before")],
    ),
    "RelocateVM_Task": (
        '<spec><host type="HostSystem">host-1</host><pool type="ResourcePool">resgroup-1</pool>'
        "</spec>",
        [Target("HostSystem", "host-1"), Target("ResourcePool", "resgroup-1")],
    ),
    "MoveDatastoreFile_Task": (
        "<sourceName>[a] x</sourceName><destinationName>[b] y</destinationName>",
        [Target("DatastoreFile", name="[a] x"), Target("DatastoreFile", name="[b] y")],
    ),
    "DeleteVirtualDisk_Task": (
        "<name>[a] x.vmdk</name>",
        [Target("VirtualDisk", name="[a] x.vmdk")],
    ),
    "AddHost_Task": (
        "<spec><hostName>esx9</hostName><userName>root</userName><password>s3cret</password>"
        "</spec>",
        [Target("HostSystem", name="esx9")],
    ),
    "CreateUser": (
        "<user><id>backdoor</id><password>s3cret</password></user>",
        [Target("User", name="backdoor")],
    ),
    "AddAuthorizationRole": ("<name>r</name>", [Target("AuthorizationRole", name="r")]),
    "StartService": ("<id>TSM-SSH</id>", [Target("HostService", name="TSM-SSH")]),
    "UnregisterExtension": (
        "<extensionKey>com.x</extensionKey>",
        [Target("Extension", name="com.x")],
    ),
    "UpdateOptions": (
        "<changedValue><key>a.b</key><value>s3cret</value></changedValue>"
        "<changedValue><key>c</key><value>s3cret</value></changedValue>",
        [Target("Option", name="a.b"), Target("Option", name="c")],
    ),
    "PowerOnMultiVM_Task": (
        '<vm type="VirtualMachine">vm-1</vm><vm type="VirtualMachine">vm-2</vm>',
        [Target("VirtualMachine", "vm-1"), Target("VirtualMachine", "vm-2")],
    ),
}


@pytest.mark.parametrize("operation", NAMES)
def test_what_a_call_names(dialect: Dialect, operation: str) -> None:
    arguments, related = NAMES[operation]
    call = only(
        vim25.transaction(transaction(dialect(operation, VM, arguments), answer(operation)))
    )
    assert list(call.related) == related
    assert "s3cret" not in repr(call)


def test_what_a_call_returns_besides_a_task() -> None:
    returned = '<returnval type="Folder">group-v77</returnval>'
    request = pyvmomi("CreateFolder", ("Folder", "group-v3"), "<name>prod</name>")
    call = only(vim25.transaction(transaction(request, answer("CreateFolder", returned))))
    assert call.related == (Target("Folder", name="prod"), Target("Folder", "group-v77"))
    assert call.task == ""


def test_what_is_named_twice_is_said_once() -> None:
    twice = '<vm type="VirtualMachine">vm-1</vm>' * 2
    request = pyvmomi("PowerOnMultiVM_Task", ("Datacenter", "datacenter-2"), twice)
    call = only(vim25.transaction(transaction(request, answer("PowerOnMultiVM_Task"))))
    assert call.related == (Target("VirtualMachine", "vm-1"),)


def test_lease_id_keeps_the_session_key_to_itself() -> None:
    returned = '<returnval type="HttpNfcLease">session[52k]52lease</returnval>'
    call = only(
        vim25.transaction(transaction(pyvmomi("ExportVm", VM), answer("ExportVm", returned)))
    )
    assert call.operation_class is OperationClass.DISK
    assert call.related == (Target("HttpNfcLease", "session[]52lease"),)
    completed = pyvmomi("HttpNfcLeaseComplete", ("HttpNfcLease", "session[52k]52lease"))
    call = only(vim25.transaction(transaction(completed, answer("HttpNfcLeaseComplete"))))
    assert call.target == Target("HttpNfcLease", "session[]52lease")
    scanned = transaction(
        (completed[0], b""), operation="HttpNfcLeaseComplete", this=("", "session[52k]52lease")
    )
    assert "52k" not in repr(vim25.transaction(scanned))


def test_permission_targets_the_entity(dialect: Dialect) -> None:
    request = dialect(
        "SetEntityPermissions",
        ("AuthorizationManager", "AuthorizationManager"),
        '<entity type="Folder">group-v3</entity><permission><principal>CORP\\eve</principal>'
        "<group>false</group><roleId>-1</roleId><propagate>true</propagate></permission>",
    )
    call = only(vim25.transaction(transaction(request, answer("SetEntityPermissions"))))
    assert call.target == Target("Folder", "group-v3")
    assert call.related == (
        Target("User", name="CORP\\eve"),
        Target("AuthorizationRole", name="-1"),
    )


def test_create_task_of_an_extension(dialect: Dialect) -> None:
    request = dialect(
        "CreateTask",
        ("TaskManager", "TaskManager"),
        '<obj type="VirtualMachine">vm-42</obj><taskTypeId>com.x.backup</taskTypeId>'
        "<initiatedBy>CORP\\bob</initiatedBy><cancelable>false</cancelable>"
        "<parentTaskKey>task-1</parentTaskKey><activationId>act-1</activationId>",
    )
    returned = (
        '<returnval><key>task-9</key><task type="Task">task-9</task><state>queued</state>'
        "</returnval>"
    )
    call = only(vim25.transaction(transaction(request, answer("CreateTask", returned))))
    assert (call.initiated_by, call.activation_id) == ("CORP\\bob", "act-1")
    assert (call.target, call.task) == (Target("VirtualMachine", "vm-42"), "task-9")


@pytest.mark.parametrize(
    ("operation", "arguments", "kind"),
    [
        ("AcquireTicket", "<ticketType>webmks</ticketType>", "webmks"),
        ("AcquireTicket", "<ticketType>mks</ticketType>", "mks"),
        ("AcquireMksTicket", "", "mks"),
    ],
)
def test_console_tickets(operation: str, arguments: str, kind: str) -> None:
    returned = "<returnval><ticket>52t1cket</ticket><cfgFile>/vmfs/x.vmx</cfgFile></returnval>"
    done = transaction(pyvmomi(operation, VM, arguments), answer(operation, returned))
    call, issued = vim25.transaction(done)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert call.operation_class is OperationClass.CONSOLE
    assert (issued.kind, issued.ticket) == (kind, hasher("52t1cket"))
    assert issued.target == Target("VirtualMachine", "vm-42")


def test_nfc_tickets() -> None:
    request = pyvmomi(
        "NfcRandomAccessOpenDisk",
        ("NfcService", "nfcService"),
        '<vm type="VirtualMachine">vm-42</vm><diskDeviceKey>2000</diskDeviceKey>',
    )
    request = (request[0].replace(b"urn:vim25", b"urn:nfc"), request[1])
    returned = (
        "<returnval><host>esx1</host><port>902</port><service>vpxa-nfc</service>"
        "<serviceVersion>1.1</serviceVersion><sessionId>52n-f-c</sessionId></returnval>"
    )
    done = transaction(request, answer("NfcRandomAccessOpenDisk", returned))
    assert vim25.claims(done)
    call, issued = vim25.transaction(done)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (call.operation_class, call.target.id) == (OperationClass.DISK, "vm-42")
    assert (issued.kind, issued.ticket) == ("nfc", hasher("52n-f-c"))


def test_esxcli_over_vim25() -> None:
    executer = ("ReflectManagedMethodExecuter", "ManagedMethodExecuter-1")
    arguments = (
        "<moid>ha-cli-handler-system-account</moid><version>urn:vim25/5.0</version>"
        "<method>vim.EsxCLI.system.account.{}</method><argument><name>password</name>"
        "<val>s3cret</val></argument>"
    )
    request = pyvmomi("ExecuteSoap", executer, arguments.format("add"))
    call = only(vim25.transaction(transaction(request, answer("ExecuteSoap"))))
    assert call.operation_class is OperationClass.UPDATE
    assert call.related == (Target("ManagedMethod", name="vim.EsxCLI.system.account.add"),)
    listing = pyvmomi("ExecuteSoap", executer, arguments.format("list"))
    assert vim25.transaction(transaction(listing, answer("ExecuteSoap"))) == []


@pytest.mark.parametrize(
    ("target", "head", "claimed"),
    [
        ("/sdk", b"", True),
        ("/sdk/vimService", b"", True),
        ("https://vc.lab/sdk", b"", True),
        ("/vpxa", b"", True),
        ("/vc-7/sdk", b"SOAPAction: urn:vim25/8.0", True),
        ("/sts/STSService/vsphere.local", b"SOAPAction: urn:x", False),
        ("/wsman", b"", False),
        ("/", b"", False),
    ],
)
def test_claims(target: str, head: bytes, claimed: bool) -> None:
    done = transaction((head, b""), target=target, operation="Login")
    assert vim25.claims(done) is claimed
