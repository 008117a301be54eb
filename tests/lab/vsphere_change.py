"""What one of several people does: python -m tests.lab.vsphere_change SERVER CLIENT USER NUMBER.

Over TLS, from the address CLIENT: a login, power off and on of the machine of that number, a
logout. Prints which machine it was.
"""

import socket
import sys

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

PASSWORD = "Left-Magnet-Paper-3"


def connect_from(client: str) -> None:
    """Every connection of this process; http.client asks for none of its own."""
    connect = socket.create_connection

    def bound(address: tuple[str, int], timeout: float, source: None) -> socket.socket:
        assert source is None
        return connect(address, timeout, (client, 0))

    socket.create_connection = bound  # type: ignore[assignment]


def main() -> int:
    server, client, user, number = sys.argv[1:]
    connect_from(client)
    service = SmartConnect(
        host=server, port=443, user=user, pwd=PASSWORD, disableSslCertValidation=True
    )
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    machine = sorted(view.view, key=lambda each: each.name)[int(number)]
    WaitForTask(machine.PowerOffVM_Task())
    WaitForTask(machine.PowerOnVM_Task())
    view.Destroy()
    Disconnect(service)
    print(machine._moId)
    return 0


if __name__ == "__main__":
    sys.exit(main())
