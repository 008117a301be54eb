"""Cloud Director actions, in XML and in JSON."""

import pytest

from decoders.message import (
    Call,
    OperationClass,
    Outcome,
    SessionExpired,
    Target,
    TicketIssued,
)
from tests.decoders.crafting import hasher, only, rest
from tests.decoders.vcloud_crafting import APP, HEAD, HREF, MACHINE, NS, TASK, VDC, call_xml, decode

RUNNING = (
    f'<Task {NS} id="urn:vcloud:task:{TASK}" status="running" operationName="{{}}" '
    f'href="{HREF}/task/{TASK}"><Owner href="{HREF}/vApp/vapp-{APP}" name="appC"/>'
    '<User name="alice"/></Task>'
)


def test_new_vapp() -> None:
    asked = (
        f'<InstantiateVAppTemplateParams {NS} name="appC" deploy="true"><Source '
        f'href="{HREF}/vAppTemplate/vappTemplate-{MACHINE}" name="tpl"/>'
        "</InstantiateVAppTemplateParams>"
    )
    call = only(
        call_xml(
            "POST",
            f"/api/vdc/{VDC}/action/instantiateVAppTemplate",
            "task",
            RUNNING.format("vdcInstantiateVapp"),
            asked,
            201,
        )
    )
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class, call.outcome) == (
        "instantiateVAppTemplate",
        OperationClass.CREATE,
        Outcome.SUCCESS,
    )
    assert call.target == Target("Vdc", VDC)
    assert call.related == (
        Target("VApp", f"vapp-{APP}", "appC"),
        Target("VAppTemplate", f"vappTemplate-{MACHINE}", "tpl"),
    )
    assert (call.task, call.request_id, call.operation_id) == (
        TASK,
        "bob-run-7-1f",
        "bob-run-7",
    )


def test_new_vapp_answered_with_the_vapp_itself() -> None:
    body = (
        f'<VApp {NS} name="appC" status="0" href="{HREF}/vApp/vapp-{APP}"><Tasks>'
        f'<Task status="running" href="{HREF}/task/{TASK}"/></Tasks></VApp>'
    )
    call = only(call_xml("POST", f"/api/vdc/{VDC}/action/composeVApp", "vApp", body, "", 201))
    assert call.related == (Target("VApp", f"vapp-{APP}", "appC"),)
    assert call.task == TASK


@pytest.mark.parametrize(
    ("method", "path", "operation", "kind"),
    [
        ("POST", f"vApp/vapp-{APP}/power/action/powerOn", "powerOn", OperationClass.POWER),
        ("POST", f"vApp/vapp-{APP}/power/action/powerOff", "powerOff", OperationClass.POWER),
        ("POST", f"vApp/vapp-{APP}/action/deploy", "deploy", OperationClass.POWER),
        ("POST", f"vApp/vapp-{APP}/action/undeploy", "undeploy", OperationClass.POWER),
        ("POST", f"vApp/vapp-{APP}/action/recomposeVApp", "recomposeVApp", OperationClass.UPDATE),
        ("POST", f"vApp/vapp-{APP}/action/createSnapshot", "createSnapshot", OperationClass.CREATE),
        (
            "POST",
            f"vApp/vapp-{APP}/action/removeAllSnapshots",
            "removeAllSnapshots",
            OperationClass.DELETE,
        ),
        ("POST", f"vApp/vapp-{APP}/action/enableDownload", "enableDownload", OperationClass.DISK),
        ("DELETE", f"vApp/vapp-{APP}", "DELETE vApp", OperationClass.DELETE),
        ("PUT", f"vApp/vapp-{APP}/owner", "PUT vApp/owner", OperationClass.UPDATE),
    ],
)
def test_actions_on_a_vapp(method: str, path: str, operation: str, kind: OperationClass) -> None:
    call = only(call_xml(method, f"/api/{path}", "task", RUNNING.format("x"), "", 202))
    assert (call.operation, call.operation_class) == (operation, kind)
    assert call.target == Target("VApp", f"vapp-{APP}", "appC")
    assert (call.task, call.token) == (TASK, hasher("t0ken"))


@pytest.mark.parametrize(
    ("method", "path", "operation", "target"),
    [
        (
            "POST",
            f"/api/vApp/vm-{MACHINE.upper()}/action/reconfigureVm",
            "reconfigureVm",
            Target("Vm", f"vm-{MACHINE}"),
        ),
        ("DELETE", f"/api/vApp/vm-{MACHINE}", "DELETE vm", Target("Vm", f"vm-{MACHINE}")),
        (
            "PUT",
            f"https://vcd.lab/api/vApp/vm-{MACHINE}/virtualHardwareSection/cpu?x=1",
            "PUT vm/virtualHardwareSection/cpu",
            Target("Vm", f"vm-{MACHINE}"),
        ),
        ("DELETE", f"/api/disk/{MACHINE}", "DELETE disk", Target("Disk", MACHINE)),
        (
            "DELETE",
            f"/api/admin/catalog/{MACHINE}",
            "DELETE admin/catalog",
            Target("Catalog", MACHINE),
        ),
        (
            "POST",
            f"/api/admin/org/{VDC}/users",
            "POST admin/org/users",
            Target("Org", VDC),
        ),
        (
            "DELETE",
            f"/cloudapi/1.0.0/edgeGateways/urn:vcloud:gateway:{VDC}",
            "DELETE edgeGateways",
            Target("EdgeGateway", VDC),
        ),
    ],
)
def test_paths(method: str, path: str, operation: str, target: Target) -> None:
    call = only(call_xml(method, path, status=204))
    assert (call.operation, call.target) == (operation, target)


def test_user_creation_keeps_the_name_only() -> None:
    asked = f'<User {NS} name="eve"><Password>s3cret</Password></User>'
    call = only(call_xml("POST", f"/api/admin/org/{VDC}/users", asked=asked, status=201))
    assert call.related == (Target(name="eve"),)
    assert "s3cret" not in repr(call)


def test_denied() -> None:
    body = (
        f'<Error {NS} majorErrorCode="403" minorErrorCode="ACCESS_TO_RESOURCE_IS_FORBIDDEN" '
        'message="no"/>'
    )
    call = only(call_xml("DELETE", f"/api/vApp/vapp-{APP}", "error", body, "", 403))
    assert (call.outcome, call.fault) == (Outcome.FAILURE, "ACCESS_TO_RESOURCE_IS_FORBIDDEN")
    assert (call.target.id, call.task) == (f"vapp-{APP}", "")
    call = only(call_xml("DELETE", f"/api/vApp/vapp-{APP}", status=403))
    assert call.fault == "HTTP 403"
    call, expired = call_xml("DELETE", f"/api/vApp/vapp-{APP}", status=401)
    assert isinstance(call, Call)
    assert isinstance(expired, SessionExpired)
    assert (call.fault, expired.token) == ("HTTP 401", hasher("t0ken"))


def test_expired_token_of_a_read() -> None:
    assert isinstance(only(call_xml("GET", "/api/query?type=vApp", status=401)), SessionExpired)
    assert call_xml("GET", "/api/query?type=vApp", status=404) == []


def test_provider_acting_inside_a_tenant() -> None:
    head = HEAD + f"\r\nX-VMWARE-VCLOUD-TENANT-CONTEXT: {VDC}\r\nX-VMWARE-VCLOUD-AUTH-CONTEXT: acme"
    call = only(decode(rest("DELETE", f"/api/vApp/vapp-{APP}", head=head, status=202)))
    assert call.related == (Target("Org", VDC, "acme"),)
    assert isinstance(call, Call)
    assert call.tenant == "acme"
    head = HEAD + f"\r\nX-VMWARE-VCLOUD-TENANT-CONTEXT: urn:vcloud:org:{VDC.upper()}"
    call = only(decode(rest("DELETE", f"/api/vApp/vapp-{APP}", head=head, status=202)))
    assert isinstance(call, Call)
    assert (call.tenant, call.related) == (VDC, (Target("Org", VDC),))


C, U, D = OperationClass.CREATE, OperationClass.UPDATE, OperationClass.DELETE
POWER, CONSOLE, DISK = OperationClass.POWER, OperationClass.CONSOLE, OperationClass.DISK
# What stands before "action/" in the path, and the names that follow it there.
ACTIONS: list[tuple[str, OperationClass, str]] = [
    ("vApp/vm-{}/power", POWER, "powerOn powerOff reboot reset suspend shutdown"),
    ("vApp/vapp-{}", POWER, "deploy undeploy"),
    ("vApp/vapp-{}", C, "createSnapshot"),
    ("vApp/vapp-{}", D, "removeAllSnapshots"),
    ("vApp/vapp-{}", DISK, "enableDownload disableDownload"),
    (
        "vApp/vapp-{}",
        U,
        """recomposeVApp discardSuspendedState revertToCurrentSnapshot controlAccess
        enterMaintenanceMode exitMaintenanceMode""",
    ),
    (
        "vApp/vm-{}",
        U,
        """reconfigureVm consolidate relocate installVMwareTools upgradeHardwareVersion
        enableNestedHypervisor disableNestedHypervisor""",
    ),
    ("vApp/vm-{}/media", U, "insertMedia ejectMedia"),
    ("vApp/vm-{}/disk", U, "attach detach"),
    ("vApp/vm-{}/question", U, "answer"),
    ("vApp/vm-{}/screen", CONSOLE, "acquireTicket acquireMksTicket"),
    (
        "vdc/{}",
        C,
        """instantiateVAppTemplate composeVApp cloneVApp cloneVAppTemplate cloneMedia captureVApp
        uploadVAppTemplate createVm registerVApp""",
    ),
    ("vdc/{}", U, "moveVApp"),
    ("catalog/{}", C, "upload captureVApp copy"),
    ("catalog/{}", U, "move sync publishToExternalOrganizations subscribeToExternalCatalog"),
    ("catalogItem/{}", U, "sync"),
    ("admin/catalog/{}", U, "publish"),
    ("admin/org/{}", U, "enable disable"),
    ("admin/vdc/{}", U, "enable disable updateVdcStorageProfiles"),
    ("admin/user/{}", U, "unlock takeOwnership"),
    ("admin/network/{}", U, "reset syncSyslogServerSettings"),
    (
        "admin/edgeGateway/{}",
        U,
        "configureServices redeploy reapplyServices upgradeConfig convertToAdvancedGateway",
    ),
    ("admin/extension/vimServer/{}", C, "importVmAsVApp importVmAsVAppTemplate importMedia"),
    ("admin/extension/vimServer/{}", D, "unregister"),
    ("admin/extension/host/{}", U, "enable disable prepare repair upgrade"),
    ("admin/extension/providervdc/{}", U, "merge migrateVms updateStorageProfiles"),
    ("task/{}", U, "cancel"),
]


@pytest.mark.parametrize(
    ("place", "kind", "name"),
    [(place, kind, name) for place, kind, names in ACTIONS for name in names.split()],
)
def test_every_action(place: str, kind: OperationClass, name: str) -> None:
    call = call_xml("POST", f"/api/{place.format(APP)}/action/{name}", status=202)[0]
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (name, kind)
    assert call.target.id.endswith(APP)


GROUP = "urn:vcloud:firewallGroup:" + APP
EDGE = "urn%3Avcloud%3Agateway%3A" + APP


@pytest.mark.parametrize(
    ("method", "path", "operation", "kind"),
    [
        ("POST", "/api/admin/orgs", "POST admin/orgs", C),
        ("POST", f"/api/admin/org/{VDC}/vdcs", "POST admin/org/vdcs", C),
        ("POST", f"/api/admin/org/{VDC}/groups", "POST admin/org/groups", C),
        ("POST", f"/api/admin/org/{VDC}/catalogs", "POST admin/org/catalogs", C),
        ("POST", f"/api/admin/vdc/{VDC}/networks", "POST admin/vdc/networks", C),
        ("PUT", f"/api/admin/user/{VDC}", "PUT admin/user", U),
        ("PUT", f"/api/admin/org/{VDC}/settings/oauth", "PUT admin/org/settings/oauth", U),
        ("DELETE", f"/api/admin/group/{VDC}", "DELETE admin/group", D),
        ("DELETE", f"/api/admin/role/{VDC}", "DELETE admin/role", D),
        ("PUT", f"/api/vApp/vapp-{APP}/networkConfigSection", "PUT vApp/networkConfigSection", U),
        ("POST", f"/api/vApp/vapp-{APP}/metadata", "POST vApp/metadata", C),
        ("PUT", f"/api/vApp/vapp-{APP}/metadata/bobs-key", "PUT vApp/metadata", U),
        ("PUT", f"/api/disk/{APP}/metadata/SYSTEM/k/2", "PUT disk/metadata/SYSTEM", U),
        ("DELETE", f"/api/media/{APP}", "DELETE media", D),
        ("POST", "/cloudapi/1.0.0/roles", "POST roles", C),
        ("PUT", f"/cloudapi/1.0.0/users/urn:vcloud:user:{APP}", "PUT users", U),
        ("POST", "/cloudapi/1.0.0/orgVdcNetworks", "POST orgVdcNetworks", C),
        (
            "PUT",
            f"/cloudapi/2.0.0/edgeGateways/{EDGE}/nat/rules/9",
            "PUT edgeGateways/nat/rules",
            U,
        ),
        ("DELETE", f"/cloudapi/1.0.0/firewallGroups/{GROUP}", "DELETE firewallGroups", D),
        ("PATCH", f"/cloudapi/1.0.0/vdcs/urn:vcloud:vdc:{APP}", "PATCH vdcs", U),
        (
            "POST",
            f"/cloudapi/1.0.0/globalRoles/{GROUP}/tenants/publishAll",
            "POST globalRoles/tenants/publishAll",
            U,
        ),
        ("POST", f"/cloudapi/1.0.0/ipSpaces/{GROUP}/allocate", "POST ipSpaces/allocate", C),
        ("POST", "/cloudapi/vcf/regions", "POST vcf/regions", C),
        ("DELETE", f"/cloudapi/1.0.0/tokens/urn:vcloud:token:{APP}", "DELETE tokens", D),
        ("POST", "/oauth/tenant/acme/register", "POST oauth/register", C),
    ],
)
def test_every_kind_of_path(method: str, path: str, operation: str, kind: OperationClass) -> None:
    call = only(call_xml(method, path, status=200))
    assert isinstance(call, Call)
    assert (call.operation, call.operation_class) == (operation, kind)


def test_an_object_named_by_an_encoded_urn() -> None:
    call = only(call_xml("DELETE", f"/cloudapi/1.0.0/edgeGateways/{EDGE}", status=202))
    assert call.target == Target("EdgeGateway", APP)


@pytest.mark.parametrize(
    ("path", "asked", "name"),
    [
        ("/cloudapi/1.0.0/users", b'{"username":"eve","password":"s3cret"}', "eve"),
        ("/oauth/tenant/acme/register", b'{"client_name":"runner"}', "runner"),
    ],
)
def test_accounts_and_tokens_are_named(path: str, asked: bytes, name: str) -> None:
    call = only(decode(rest("POST", path, head=HEAD, body=asked, status=201)))
    assert isinstance(call, Call)
    assert call.related == (Target(name=name),)
    assert "s3cret" not in repr(call)
    assert call.target == (Target("Org", name="acme") if "oauth" in path else Target())


def test_202_without_body_names_the_task_in_location() -> None:
    done = rest(
        "POST",
        "/cloudapi/1.0.0/edgeGateways",
        head="Authorization: Bearer eyJ.a.b",
        body=b'{"name":"edge-1"}',
        status=202,
        response_head=f"Location: {HREF}/task/{TASK}",
    )
    call = only(decode(done))
    assert (call.task, call.related) == (TASK, (Target(name="edge-1"),))


def test_console_ticket() -> None:
    path = f"/api/vApp/vm-{MACHINE}/screen/action/acquireMksTicket"
    body = f"<MksTicket {NS}><Host>h</Host><Vmx>v</Vmx><Ticket>52mks</Ticket></MksTicket>"
    call, issued = call_xml("POST", path, "mksTicket", body)
    assert isinstance(call, Call)
    assert isinstance(issued, TicketIssued)
    assert (call.operation_class, issued.kind) == (OperationClass.CONSOLE, "mks")
    assert issued.ticket == hasher("52mks")
    path = f"/api/vApp/vm-{MACHINE}/screen/action/acquireTicket"
    body = f"<ScreenTicket {NS}>mks://h/cst-52%3D%3D?x</ScreenTicket>"
    call, issued = call_xml("POST", path, "screenTicket", body)
    assert isinstance(issued, TicketIssued)
    assert issued.ticket == hasher("cst-52==")


@pytest.mark.parametrize(
    "path",
    [
        f"/api/vApp/vm-{MACHINE}/metrics/current",
        f"/api/vApp/vm-{MACHINE}/action/checkCompliance",
        "/cloudapi/1.0.0/queries/query",
        "/cloudapi/1.0.0/testConnection",
    ],
)
def test_reads_by_post_are_no_actions(path: str) -> None:
    assert call_xml("POST", path) == []
