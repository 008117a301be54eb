"""Programs started in guests by way of a vCenter."""

from typing import Any

from pyVim.connect import SmartConnect
from pyVmomi import vim
from pyVmomi.VmomiSupport import GetRequestContext

from tests.lab.levels import Host


class GuestClient:
    """One session; several threads may run programs at once, each over a connection of its own."""

    def __init__(self, server: Host, user: str, password: str) -> None:
        service: Any = SmartConnect(
            protocol="http", host=server.ip, port=server.port, user=user, pwd=password
        )
        content = service.RetrieveContent()
        machines = [vim.VirtualMachine]
        view = content.viewManager.CreateContainerView(content.rootFolder, machines, True)
        self._machines = {each.name: each for each in view.view}
        self._processes = content.guestOperationsManager.processManager
        self.names = tuple(self._machines)

    def run(self, machine: str, program: dict[str, str], operation_id: str = "") -> int:
        context = GetRequestContext()
        context.clear()
        if operation_id:
            context["operationID"] = operation_id
        account = vim.vm.guest.NamePasswordAuthentication(
            username=program["account"], password=program["password"], interactiveSession=False
        )
        spec = vim.vm.guest.ProcessManager.ProgramSpec(
            programPath=program["program"], arguments=program["arguments"]
        )
        started = self._processes.StartProgramInGuest(self._machines[machine], account, spec)
        return int(started)
