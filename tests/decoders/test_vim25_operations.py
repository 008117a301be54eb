"""Which operations are actions, and of which class: listed, by ending, by verb."""

import pytest

from decoders.message import OperationClass
from decoders.vim25_operations import operation_class

CLASSES = {
    OperationClass.POWER: ["ResetVM_Task", "ShutdownGuest", "RebootHost_Task", "SuspendVApp_Task"],
    OperationClass.CREATE: [
        "CloneVM_Task",
        "RegisterVM_Task",
        "CreateSnapshot_Task",
        "CreateDVPortgroup_Task",
        "AddStandaloneHost_Task",
        "MakeDirectory",
        "AddPortGroup",
        "RegisterExtension",
        "CreateUser",
        "CreateScheduledTask",
        "ImportVApp",
    ],
    OperationClass.DELETE: [
        "Destroy_Task",
        "UnregisterVM",
        "RemoveAllSnapshots_Task",
        "DeleteDatastoreFile_Task",
        "RemoveEntityPermission",
        "RemoveUser",
        "UnregisterExtension",
        "RemoveDatastore",
        "RemoveAlarm",
    ],
    OperationClass.UPDATE: [
        "ReconfigVM_Task",
        "MigrateVM_Task",
        "RelocateVM_Task",
        "MarkAsTemplate",
        "MarkAsVirtualMachine",
        "CustomizeVM_Task",
        "RevertToSnapshot_Task",
        "EnterMaintenanceMode_Task",
        "EnterLockdownMode",
        "StartService",
        "UpdateRuleset",
        "UpdateUser",
        "ReconnectHost_Task",
        "CancelTask",
        "SetEntityPermissions",
        "reloadVirtualMachineFromPath_Task",
        "RunScheduledTask",
        "FrobnicateVM_Task",  # of a later release
        "UpdateFrobnication",
        "setCustomValue",
    ],
    OperationClass.CONSOLE: ["AcquireTicket", "AcquireMksTicket"],
    OperationClass.DISK: ["ExportVm", "NfcGetVmFiles", "NfcSomethingNew"],
    OperationClass.READ: ["GenerateLogBundles_Task"],
}
READS = [
    "RetrieveProperties",
    "Fetch",
    "WaitForUpdatesEx",
    "CreateFilter",
    "CreateContainerView",
    "CreateCollectorForEvents",
    "CreateImportSpec",
    "DestroyPropertyFilter",
    "DestroyView",
    "QueryPerf",
    "FindByUuid",
    "CurrentTime",
    "SearchDatastore_Task",
    "CheckMigrate_Task",
    "QueryHostPatch_Task",
    "HttpNfcLeaseProgress",
    "RefreshRuntime",
    "Reload",
    "UpdateProgress",
    "SetCollectorPageSize",
    "ListKeys",
    "Settle",
    "Address",
    "",
]


@pytest.mark.parametrize(
    ("operation", "kind"), [(name, kind) for kind, names in CLASSES.items() for name in names]
)
def test_class(operation: str, kind: OperationClass) -> None:
    assert operation_class(operation) is kind


@pytest.mark.parametrize("operation", READS)
def test_reads_are_no_actions(operation: str) -> None:
    assert operation_class(operation) is None
