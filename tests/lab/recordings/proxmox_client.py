"""What people and a robot ask of Proxmox VE, by proxmoxer."""

import contextlib
import time

from proxmoxer import AuthenticationError, ProxmoxAPI

HOST = "10.91.0.2"

with contextlib.suppress(AuthenticationError):
    ProxmoxAPI(HOST, user="eve@pam", password="wrong", verify_ssl=False)
bob = ProxmoxAPI(HOST, user="bob@pve", password="B0b!proxmox", verify_ssl=False)
bob.nodes.get()
machine = bob.nodes("pve1").qemu(100)
task = machine.status.start.post()
time.sleep(0.05)
bob.nodes("pve1").tasks(task).status.get()
machine.clone.post(newid=101, name="web-2")
machine.config.put(memory=4096)
machine.snapshot.post(snapname="before")
machine.vncproxy.post(websocket=1)
machine.agent("exec").post(command="/bin/sh")
bob.nodes("pve1").qemu.post(vmid=102, name="db", cipassword="Gu3st!pw")
bob.nodes("pve1").qemu(102).delete()
robot = ProxmoxAPI(
    HOST,
    user="bob@pve",
    token_name="terraform",
    token_value="0f1e2d3c-4444-4555-8666-777788889999",
    verify_ssl=False,
)
robot.nodes("pve1").lxc(200).status.stop.post()
bob.access.ticket.delete()
