"""Actions on managed objects -> Call, and the tickets that some of them hand out.

Related objects are the references among the arguments and the names that the call gives or uses.
Only paths listed here are read, so passwords in host, domain, customisation and account specs stay
where they are.
"""

from collections.abc import Callable, Iterator

from decoders.element import Element
from decoders.message import Call, Message, OperationClass, Target
from decoders.soap import SoapTransaction
from decoders.vim25_call import RELATED_MAX, call_of, ticket_of
from decoders.vim25_objects import is_moref, moref, this_of
from decoders.vim25_operations import operation_class

_VM, _SNAPSHOT = "VirtualMachine", "VirtualMachineSnapshot"
_FILE, _DISK = "DatastoreFile", "VirtualDisk"
_USER, _ROLE, _EXTENSION, _SERVICE = "User", "AuthorizationRole", "Extension", "HostService"
_Names = tuple[tuple[str, str], ...]  # (path of names with dots, type)
_NEW_VM: _Names = (("config.name", _VM), ("config.files.vmPathName", _FILE))
_HOST: _Names = (("spec.hostName", "HostSystem"), ("newHosts.hostCnxSpec.hostName", "HostSystem"))
_SOURCE_FILE: _Names = (("sourceName", _FILE), ("destinationName", _FILE))
_SOURCE_DISK: _Names = (("sourceName", _DISK), ("destName", _DISK))
_EXTENSION_NAMES: _Names = (("extensionKey", _EXTENSION), ("extension.key", _EXTENSION))
_ACCOUNT: _Names = (("user.id", _USER), ("userName", _USER), ("user", _USER), ("group", "Group"))
_NAMES: dict[str, _Names] = {
    "CreateVM_Task": _NEW_VM,
    "CreateChildVM_Task": _NEW_VM,
    "CloneVM_Task": (("name", _VM),),
    "InstantClone_Task": (("spec.name", _VM),),
    "ReconfigVM_Task": (("spec.name", _VM), ("spec.files.vmPathName", _FILE)),
    "RegisterVM_Task": (("name", _VM), ("path", _FILE)),
    "RegisterChildVM_Task": (("name", _VM), ("path", _FILE)),
    "reloadVirtualMachineFromPath_Task": (("configurationPath", _FILE),),
    "CreateSnapshot_Task": (("name", _SNAPSHOT),),
    "CreateSnapshotEx_Task": (("name", _SNAPSHOT),),
    "RenameSnapshot": (("name", _SNAPSHOT),),
    "CreateFolder": (("name", "Folder"),),
    "CreateStoragePod": (("name", "StoragePod"),),
    "CreateDatacenter": (("name", "Datacenter"),),
    "CreateCluster": (("name", "ClusterComputeResource"),),
    "CreateClusterEx": (("name", "ClusterComputeResource"),),
    "CreateResourcePool": (("name", "ResourcePool"),),
    "CreateVApp": (("name", "VirtualApp"),),
    "CloneVApp_Task": (("name", "VirtualApp"),),
    "ImportVApp": (("spec.configSpec.name", _VM), ("spec.name", "VirtualApp")),
    "AddHost_Task": _HOST,
    "AddStandaloneHost_Task": _HOST,
    "BatchAddHostsToCluster_Task": _HOST,
    "BatchAddStandaloneHosts_Task": _HOST,
    "ReconnectHost_Task": (("cnxSpec.hostName", "HostSystem"),),
    "CreateDVS_Task": (("spec.configSpec.name", "DistributedVirtualSwitch"),),
    "CreateDVPortgroup_Task": (("spec.name", "DistributedVirtualPortgroup"),),
    "AddDVPortgroup_Task": (("spec.name", "DistributedVirtualPortgroup"),),
    "AddPortGroup": (("portgrp.name", "HostPortGroup"),),
    "UpdatePortGroup": (("pgName", "HostPortGroup"), ("portgrp.name", "HostPortGroup")),
    "RemovePortGroup": (("pgName", "HostPortGroup"),),
    "AddVirtualSwitch": (("vswitchName", "HostVirtualSwitch"),),
    "UpdateVirtualSwitch": (("vswitchName", "HostVirtualSwitch"),),
    "RemoveVirtualSwitch": (("vswitchName", "HostVirtualSwitch"),),
    "DeleteDatastoreFile_Task": (("name", _FILE),),
    "MoveDatastoreFile_Task": _SOURCE_FILE,
    "CopyDatastoreFile_Task": _SOURCE_FILE,
    "MakeDirectory": (("name", _FILE),),
    "DeleteFile": (("datastorePath", _FILE),),
    "ChangeOwner": (("name", _FILE), ("owner", _USER)),
    "CreateDirectory": (("displayName", _FILE),),
    "DeleteDirectory": (("datastorePath", _FILE),),
    "MoveVirtualDisk_Task": _SOURCE_DISK,
    "CopyVirtualDisk_Task": _SOURCE_DISK,
    "RenameDatastore": (("newName", "Datastore"),),
    "CreateVmfsDatastore": (("spec.vmfs.volumeName", "Datastore"),),
    "CreateNasDatastore": (("spec.localPath", "Datastore"), ("spec.remoteHost", "NasServer")),
    "CreateLocalDatastore": (("name", "Datastore"), ("path", _FILE)),
    "SetEntityPermissions": (("permission.principal", _USER), ("permission.roleId", _ROLE)),
    "ResetEntityPermissions": (("permission.principal", _USER), ("permission.roleId", _ROLE)),
    "RemoveEntityPermission": (("user", _USER),),
    "AddAuthorizationRole": (("name", _ROLE),),
    "UpdateAuthorizationRole": (("newName", _ROLE), ("roleId", _ROLE)),
    "RemoveAuthorizationRole": (("roleId", _ROLE),),
    "CreateUser": _ACCOUNT,
    "UpdateUser": _ACCOUNT,
    "RemoveUser": _ACCOUNT,
    "ChangePassword": (("user", _USER),),
    "CreateGroup": (("group.id", "Group"),),
    "RemoveGroup": (("groupName", "Group"),),
    "AssignUserToGroup": _ACCOUNT,
    "UnassignUserFromGroup": _ACCOUNT,
    "ChangeAccessMode": (("principal", _USER), ("accessMode", "AccessMode")),
    "ChangeLockdownMode": (("mode", "LockdownMode"),),
    "UpdateLockdownExceptions": (("users", _USER),),
    "JoinDomain_Task": (("domainName", "Domain"), ("userName", _USER)),
    "StartService": (("id", _SERVICE),),
    "StopService": (("id", _SERVICE),),
    "RestartService": (("id", _SERVICE),),
    "UninstallService": (("id", _SERVICE),),
    "UpdateServicePolicy": (("id", _SERVICE), ("policy", "ServicePolicy")),
    "EnableRuleset": (("id", "FirewallRuleset"),),
    "DisableRuleset": (("id", "FirewallRuleset"),),
    "UpdateRuleset": (("id", "FirewallRuleset"),),
    "RegisterExtension": _EXTENSION_NAMES,
    "UpdateExtension": _EXTENSION_NAMES,
    "UnregisterExtension": _EXTENSION_NAMES,
    "SetPublicKey": _EXTENSION_NAMES,
    "SetExtensionCertificate": _EXTENSION_NAMES,
    "SetServiceAccount": (*_EXTENSION_NAMES, ("serviceAccount", _USER)),
    "CreateAlarm": (("spec.name", "Alarm"),),
    "ReconfigureAlarm": (("spec.name", "Alarm"),),
    "CreateScheduledTask": (("spec.name", "ScheduledTask"),),
    "CreateObjectScheduledTask": (("spec.name", "ScheduledTask"),),
    "ReconfigureScheduledTask": (("spec.name", "ScheduledTask"),),
    "CreateCustomizationSpec": (("item.info.name", "CustomizationSpec"),),
    "UpdateOptions": (("changedValue.key", "Option"),),
    "CreateTask": (("taskTypeId", "TaskType"),),
    "AcquireTicket": (("ticketType", "TicketType"),),
    "ExecuteSoap": (("method", "ManagedMethod"),),
    "CnsCreateVolume": (("createSpecs.name", "CnsVolume"),),
    "CnsDeleteVolume": (("volumeIds.id", "CnsVolume"),),
}
_ANY: _Names = (("newName", ""), ("name", ""))
_VIRTUAL_DISK: _Names = (("name", _DISK),)
_MEANT = {  # argument that is the target
    "SetEntityPermissions": "entity",
    "ResetEntityPermissions": "entity",
    "RemoveEntityPermission": "entity",
    "CreateTask": "obj",
}
EXECUTE_SOAP = "ExecuteSoap"  # ReflectManagedMethodExecuter: how esxcli runs over vim25
_READING_COMMANDS = ("list", "get", "stats", "status", "check", "query")


def action(soap: SoapTransaction) -> list[Message]:
    """The call and what it issued; nothing when the operation is no action."""
    kind = _class_of(soap)
    if kind is None:
        return []
    call = call_of(
        soap,
        kind,
        target=_target(soap),
        related=_related(soap),
        initiated_by=soap.arguments.value("initiatedBy"),
        activation_id=soap.arguments.value("activationId"),
        task=_created_task(soap),
    )
    return [call, *_issued(soap, call)]


def _class_of(soap: SoapTransaction) -> OperationClass | None:
    if soap.operation != EXECUTE_SOAP:
        return operation_class(soap.operation)
    method = soap.arguments.value("method")
    reads = not method or method.rpartition(".")[2].lower().startswith(_READING_COMMANDS)
    return None if reads or method.startswith("Fetch") else OperationClass.UPDATE


def _target(soap: SoapTransaction) -> Target:
    """`_this`, but the object meant where `_this` is only the service asked."""
    meant = _MEANT.get(soap.operation, "")
    if meant and is_moref(soap.arguments.at(meant)):
        return moref(soap.arguments.at(meant))
    if soap.operation.startswith("Nfc"):
        for name in ("vm", "ds", "host"):
            if is_moref(soap.arguments.at(name)):
                return moref(soap.arguments.at(name))
    return this_of(soap)


def _related(soap: SoapTransaction) -> list[Target]:
    target, default = _target(soap), _ANY
    if soap.operation.endswith("VirtualDisk_Task"):
        default = _VIRTUAL_DISK
    named = [
        Target(kind or _own_type(soap, target), name=text)
        for path, kind in _NAMES.get(soap.operation, default)
        for text in _texts(soap.arguments, path.split("."))
    ]
    referred = [found for found in _references(soap.arguments) if found != target]
    return [*named, *referred][:RELATED_MAX]


def _own_type(soap: SoapTransaction, target: Target) -> str:
    return target.type if soap.operation.startswith("Rename") else ""


def _texts(element: Element, path: list[str]) -> Iterator[str]:
    """Texts of every element on this path: lists have many."""
    if not path:
        if text := element.text.strip():
            yield text
        return
    for child in element.all(path[0]):
        if len(path) > 1 or not child.children:
            yield from _texts(child, path[1:])


def _references(arguments: Element) -> Iterator[Target]:
    for child in arguments.children:
        if child.name != "_this":
            yield from (moref(element) for element in child.walk() if is_moref(element))


def _created_task(soap: SoapTransaction) -> str:
    """CreateTask returns a TaskInfo where others return a reference."""
    info = soap.result.at("returnval")
    return info.value("task") or info.value("key") if soap.operation == "CreateTask" else ""


def _issued(soap: SoapTransaction, call: Call) -> list[Message]:
    returned = soap.result.at("returnval")
    if soap.operation.startswith("Nfc"):
        return ticket_of(soap, "nfc", returned.value("sessionId"), call.target)
    reader = _TICKETS.get(soap.operation)
    if reader is None:
        return []
    kind, secret = reader(soap, returned)
    return ticket_of(soap, kind, secret, call.target)


def _machine_ticket(soap: SoapTransaction, returned: Element) -> tuple[str, str]:
    return soap.arguments.value("ticketType") or "mks", returned.value("ticket")


def _host_ticket(_soap: SoapTransaction, returned: Element) -> tuple[str, str]:
    return "cim", returned.value("sessionId")


_TICKETS: dict[str, Callable[[SoapTransaction, Element], tuple[str, str]]] = {
    "AcquireTicket": _machine_ticket,
    "AcquireMksTicket": _machine_ticket,
    "AcquireCimServicesTicket": _host_ticket,
}
