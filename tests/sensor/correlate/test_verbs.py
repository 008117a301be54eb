"""Verbs across levels: what may lead to what."""

import pytest

from decoders.message import OperationClass
from sensor.correlate.verbs import IMPOSSIBLE, SAME, Verb, compatible, verb_of


@pytest.mark.parametrize(
    ("operation", "kind", "verb"),
    [
        ("Destroy_Task", OperationClass.DELETE, Verb.DESTROY),
        ("DELETE vApp", OperationClass.DELETE, Verb.DESTROY),
        ("UnregisterVM", OperationClass.DELETE, Verb.DESTROY),
        ("RegisterVM_Task", OperationClass.CREATE, Verb.CREATE),
        ("instantiateVAppTemplate", OperationClass.CREATE, Verb.CREATE),
        ("CloneVM_Task", OperationClass.CREATE, Verb.CREATE),
        ("recomposeVApp", OperationClass.UPDATE, Verb.CONFIGURE),
        ("ReconfigVM_Task", OperationClass.UPDATE, Verb.CONFIGURE),
        ("powerOn", OperationClass.POWER, Verb.POWER_ON),
        ("PowerOnVM_Task", OperationClass.POWER, Verb.POWER_ON),
        ("deploy", OperationClass.POWER, Verb.POWER_ON),
        ("undeploy", OperationClass.POWER, Verb.UNDEPLOY),
        ("ShutdownGuest", OperationClass.POWER, Verb.POWER_OFF),
        ("RebootGuest", OperationClass.POWER, Verb.RESET),
        ("RemoveAllSnapshots_Task", OperationClass.DELETE, Verb.SNAPSHOT),
        ("runScript", OperationClass.UPDATE, Verb.GUEST),
        ("StartProgramInGuest", OperationClass.GUEST, Verb.GUEST),
        ("AcquireTicket", OperationClass.CONSOLE, Verb.CONSOLE),
        ("vcenter.vm.power.start", OperationClass.POWER, Verb.POWER_ON),
        ("vcenter.vm.power.stop", OperationClass.POWER, Verb.POWER_OFF),
        ("vcenter.vm.guest.power.reboot", OperationClass.POWER, Verb.RESET),
        ("vcenter.vm.create", OperationClass.CREATE, Verb.CREATE),
        ("AcquireCloneTicket", OperationClass.LOGIN, Verb.OTHER),
        ("PUT /guestFile", OperationClass.GUEST, Verb.GUEST),
        ("GET /nfc", OperationClass.DISK, Verb.DISK),
        ("SetEntityPermissions", OperationClass.UPDATE, Verb.CONFIGURE),
        ("servers.os-stop", OperationClass.POWER, Verb.POWER_OFF),
        ("servers.os-start", OperationClass.POWER, Verb.POWER_ON),
        ("servers.reboot", OperationClass.POWER, Verb.RESET),
        ("servers.unshelve", OperationClass.POWER, Verb.POWER_ON),
        ("servers.shelve", OperationClass.POWER, Verb.POWER_OFF),
        ("servers.rebuild", OperationClass.CREATE, Verb.CREATE),
        ("servers.os-migrateLive", OperationClass.UPDATE, Verb.MIGRATE),
        ("servers.delete", OperationClass.DELETE, Verb.DESTROY),
        ("servers.os-getVNCConsole", OperationClass.CONSOLE, Verb.CONSOLE),
        ("deployment.deployments.requests.PowerOff", OperationClass.POWER, Verb.POWER_OFF),
        ("iaas.machines.reboot", OperationClass.POWER, Verb.RESET),
        ("nodes.qemu.status.start", OperationClass.POWER, Verb.POWER_ON),
        ("nodes.qemu.status.stop", OperationClass.POWER, Verb.POWER_OFF),
        ("nodes.startall", OperationClass.POWER, Verb.POWER_ON),
        ("nodes.qemu.snapshot", OperationClass.CREATE, Verb.SNAPSHOT),
        ("nodes.qemu.agent.exec", OperationClass.GUEST, Verb.GUEST),
        ("vms.start", OperationClass.POWER, Verb.POWER_ON),
        ("vms.stop", OperationClass.POWER, Verb.POWER_OFF),
        ("vms.power_powercycle", OperationClass.POWER, Verb.RESET),
        ("vms.power-on", OperationClass.POWER, Verb.POWER_ON),
        ("VM.start_on", OperationClass.POWER, Verb.POWER_ON),
        ("VM.hard_shutdown", OperationClass.POWER, Verb.POWER_OFF),
        ("VM.clean_reboot", OperationClass.POWER, Verb.RESET),
        ("VM.unpause", OperationClass.POWER, Verb.POWER_ON),
        ("VM.pool_migrate", OperationClass.UPDATE, Verb.MIGRATE),
        ("Msvm_ComputerSystem.RequestStateChange.on", OperationClass.POWER, Verb.POWER_ON),
        ("Msvm_ComputerSystem.RequestStateChange.off", OperationClass.POWER, Verb.POWER_OFF),
        ("Msvm_VirtualSystemManagementService.DefineSystem", OperationClass.CREATE, Verb.CREATE),
        ("domain_create", OperationClass.POWER, Verb.POWER_ON),
        ("domain_create_with_flags", OperationClass.POWER, Verb.POWER_ON),
        ("domain_create_xml", OperationClass.CREATE, Verb.CREATE),
        ("domain_destroy_flags", OperationClass.POWER, Verb.POWER_OFF),
        ("domain_define_xml_flags", OperationClass.CREATE, Verb.CREATE),
        ("domain_undefine", OperationClass.DELETE, Verb.DESTROY),
        ("domain_migrate_perform3_params", OperationClass.UPDATE, Verb.MIGRATE),
        ("domain_managed_save", OperationClass.POWER, Verb.POWER_OFF),
        ("RestartService", OperationClass.UPDATE, Verb.CONFIGURE),
    ],
)
def test_verb_of(operation: str, kind: OperationClass, verb: Verb) -> None:
    assert verb_of(operation, kind) is verb


def test_every_verb_explains_itself_best() -> None:
    for verb in Verb:
        assert compatible(verb, verb) == SAME
        assert all(compatible(other, verb) < SAME for other in Verb if other is not verb)


@pytest.mark.parametrize(
    ("parent", "child", "possible"),
    [
        (Verb.DESTROY, Verb.POWER_OFF, True),
        (Verb.POWER_OFF, Verb.DESTROY, False),
        (Verb.UNDEPLOY, Verb.DESTROY, True),
        (Verb.CREATE, Verb.POWER_ON, True),
        (Verb.POWER_ON, Verb.DESTROY, False),
        (Verb.DESTROY, Verb.CREATE, False),
        (Verb.GUEST, Verb.POWER_OFF, False),
        (Verb.MIGRATE, Verb.CREATE, True),
    ],
)
def test_what_leads_to_what(parent: Verb, child: Verb, possible: bool) -> None:
    assert (compatible(parent, child) > IMPOSSIBLE) is possible
