"""What a person does at a vCenter: python -m tests.lab.vsphere_client ADDRESS USER PASSWORD.

A refused login, a login, power off, on, off, destroy, logout. Prints as JSON what it did.
"""

import json
import sys
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim


def connect(address: str, user: str, password: str) -> Any:
    return SmartConnect(protocol="http", host=address, port=80, user=user, pwd=password)


def main() -> int:
    address, user, password = sys.argv[1:]
    try:
        connect(address, user, "wrong-" + password)
    except vim.fault.InvalidLogin:
        pass
    else:
        raise SystemExit("the simulator takes any password")
    service = connect(address, user, password)
    content = service.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    machine = min(view.view, key=lambda each: each.name)
    did = {"target": machine._moId, "name": machine.name, "product": content.about.fullName}
    WaitForTask(machine.PowerOffVM_Task())
    WaitForTask(machine.PowerOnVM_Task())
    WaitForTask(machine.PowerOffVM_Task())
    WaitForTask(machine.Destroy_Task())
    view.Destroy()
    Disconnect(service)
    print(json.dumps(did))
    return 0


if __name__ == "__main__":
    sys.exit(main())
