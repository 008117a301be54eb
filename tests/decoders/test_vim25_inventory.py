"""Names, UUIDs and holders in property reads, and what a server says of itself."""

import pytest

from decoders.message import ObjectSeen, ServerSeen, Target
from decoders.vim25 import Vim25
from tests.decoders.crafting import DIALECTS, Dialect, answer, hasher, only, pyvmomi, transaction

vim25 = Vim25(hasher)
COLLECTOR = ("PropertyCollector", "propertyCollector")
SPEC = (
    "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet>"
    "<pathSet>config.uuid</pathSet></propSet></specSet>"
)


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


def _objects(*contents: tuple[str, str, dict[str, str]]) -> bytes:
    objects = "".join(
        f'<objects><obj type="{kind}">{identifier}</obj>'
        + "".join(
            f"<propSet><name>{name}</name><val>{value}</val></propSet>"
            for name, value in found.items()
        )
        + "</objects>"
        for kind, identifier, found in contents
    )
    return answer("RetrievePropertiesEx", f"<returnval>{objects}</returnval>")


def _read(body: bytes, dialect: Dialect = pyvmomi) -> list[ObjectSeen]:
    request = dialect("RetrievePropertiesEx", COLLECTOR, SPEC)
    return vim25.transaction(transaction(request, body))  # type: ignore[return-value]


def test_names_and_uuids(dialect: Dialect) -> None:
    one, two = _read(
        _objects(
            (
                "VirtualMachine",
                "vm-1",
                {"name": "web", "config.uuid": "42-u", "config.instanceUuid": "50-i"},
            ),
            ("HostSystem", "host-2", {"name": "esx1.lab"}),
        ),
        dialect,
    )
    assert (one.target, one.uuid, one.instance_uuid) == (
        Target("VirtualMachine", "vm-1", "web"),
        "42-u",
        "50-i",
    )
    assert two.target == Target("HostSystem", "host-2", "esx1.lab")


@pytest.mark.parametrize(
    "found",
    [
        {
            "summary.config.name": "web",
            "summary.config.uuid": "42-u",
            "summary.config.instanceUuid": "50-i",
            "summary.config.vmPathName": "[ds] web/web.vmx",
        },
        {
            "config": "<name>web</name><uuid>42-u</uuid><instanceUuid>50-i</instanceUuid>"
            "<files><vmPathName>[ds] web/web.vmx</vmPathName></files>"
        },
        {
            "summary": "<config><name>web</name><vmPathName>[ds] web/web.vmx</vmPathName>"
            "<uuid>42-u</uuid><instanceUuid>50-i</instanceUuid></config>"
        },
        {
            "summary.config": "<name>web</name><vmPathName>[ds] web/web.vmx</vmPathName>"
            "<uuid>42-u</uuid><instanceUuid>50-i</instanceUuid>"
        },
    ],
)
def test_where_the_facts_stand(found: dict[str, str]) -> None:
    seen = only(_read(_objects(("VirtualMachine", "vm-1", found))))  # type: ignore[arg-type]
    assert seen.target == Target("VirtualMachine", "vm-1", "web")
    assert (seen.uuid, seen.instance_uuid, seen.path) == ("42-u", "50-i", "[ds] web/web.vmx")


def test_fetch_of_one_property() -> None:
    request = pyvmomi("Fetch", ("VirtualMachine", "vm-1"), "<prop>name</prop>")
    returned = '<returnval xsi:type="xsd:string">web</returnval>'
    seen = only(vim25.transaction(transaction(request, answer("Fetch", returned))))
    assert seen.target == Target("VirtualMachine", "vm-1", "web")


def test_uuid_of_a_host() -> None:
    seen = only(_read(_objects(("HostSystem", "host-1", {"summary.hardware.uuid": "99-h"}))))  # type: ignore[arg-type]
    assert seen.uuid == "99-h"


def test_vapp_holds_its_machines() -> None:
    request = pyvmomi("RetrievePropertiesEx", COLLECTOR, SPEC)
    moref = ' xsi:type="ManagedObjectReference" type="VirtualApp"'
    body = answer(
        "RetrievePropertiesEx",
        '<returnval><objects><obj type="VirtualMachine">vm-1</obj><propSet><name>parentVApp</name>'
        f"<val{moref}>resgroup-v7</val></propSet></objects>"
        '<objects><obj type="VirtualMachine">vm-2</obj><propSet><name>resourcePool</name>'
        f"<val{moref}>resgroup-v7</val></propSet></objects>"
        '<objects><obj type="VirtualMachine">vm-3</obj><propSet><name>resourcePool</name>'
        '<val type="ResourcePool">resgroup-8</val></propSet></objects>'
        '<objects><obj type="VirtualApp">resgroup-v7</obj><propSet><name>name</name>'
        "<val>shop</val></propSet><propSet><name>vm</name><val>"
        '<ManagedObjectReference type="VirtualMachine">vm-4</ManagedObjectReference></val>'
        "</propSet></objects></returnval>",
    )
    seen = vim25.transaction(transaction(request, body))
    held = [(each.target.id, each.container.id) for each in seen if isinstance(each, ObjectSeen)]
    assert held == [
        ("vm-1", "resgroup-v7"),
        ("vm-2", "resgroup-v7"),
        ("resgroup-v7", ""),
        ("vm-4", "resgroup-v7"),
    ]


def test_updates_say_names_too() -> None:
    body = answer(
        "WaitForUpdatesEx",
        "<returnval><filterSet><objectSet><kind>enter</kind>"
        '<obj type="VirtualMachine">vm-1</obj><changeSet><name>name</name><op>assign</op>'
        "<val>web</val></changeSet></objectSet></filterSet></returnval>",
    )
    seen = only(vim25.transaction(transaction(pyvmomi("WaitForUpdatesEx", COLLECTOR), body)))
    assert seen.target == Target("VirtualMachine", "vm-1", "web")


def test_reads_without_names_say_nothing() -> None:
    body = _objects(("VirtualMachine", "vm-1", {"runtime.powerState": "poweredOn"}))
    assert _read(body) == []


ABOUT = (
    "<about><name>{name}</name><version>8.0.3</version><build>1</build><apiType>{kind}</apiType>"
    "{more}</about>"
)
CONTENT = (
    '<returnval xsi:type="ServiceContent"><rootFolder type="Folder">group-d1</rootFolder>'
    + ABOUT.format(
        name="VMware vCenter Server",
        kind="VirtualCenter",
        more="<instanceUuid>41-i</instanceUuid>",
    )
    + "</returnval>"
)


@pytest.mark.parametrize("operation", ["RetrieveServiceContent", "Fetch"])
def test_vcenter_says_what_it_is(dialect: Dialect, operation: str) -> None:
    argument = "<prop>content</prop>" if operation == "Fetch" else ""
    request = dialect(operation, ("ServiceInstance", "ServiceInstance"), argument, cookie="")
    server = only(vim25.transaction(transaction(request, answer(operation, CONTENT))))
    assert isinstance(server, ServerSeen)
    assert (server.service, server.product, server.version, server.instance) == (
        "VC",
        "VMware vCenter Server",
        "8.0.3",
        "41-i",
    )


def test_host_says_what_it_is_and_others_are_not_guessed() -> None:
    request = pyvmomi("RetrieveServiceContent", ("ServiceInstance", "ServiceInstance"))

    def said(kind: str) -> list[object]:
        about = ABOUT.format(name="VMware ESXi", kind=kind, more="")
        body = answer("RetrieveServiceContent", f"<returnval>{about}</returnval>")
        return list(vim25.transaction(transaction(request, body)))

    server = said("HostAgent")[0]
    assert isinstance(server, ServerSeen)
    assert (server.service, server.instance) == ("ESX", "")
    assert said("gsx") == []
