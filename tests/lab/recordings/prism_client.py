"""What people and scripts ask of Prism in its three versions."""

import requests

URL = "http://10.91.0.2:9440"
VM = "0b1f2c3d-1111-4222-8333-444455556666"

requests.get(f"{URL}/api/nutanix/v3/users/me", auth=("bob@lab.test", "wrong"))
bob = requests.Session()
bob.get(f"{URL}/api/nutanix/v3/users/me", auth=("bob@lab.test", "B0b!prism"))
bob.post(f"{URL}/api/nutanix/v3/vms/list", json={"kind": "vm"})
guest = {"cloud_init": {"user_data": "I2Nsb3VkLWNvbmZpZwpwYXNzd29yZDogR3Uzc3QhcHcK"}}
spec = {"name": "db", "resources": {"guest_customization": guest}}
made = bob.post(f"{URL}/api/nutanix/v3/vms", json={"spec": spec, "metadata": {"kind": "vm"}}).json()
bob.get(f"{URL}/api/nutanix/v3/tasks/{made['status']['execution_context']['task_uuid']}")
bob.put(f"{URL}/api/nutanix/v3/vms/{VM}", json={"spec": {"name": "web"}})
identified = {"NTNX-Request-Id": "1c5e0000-1111-4222-8333-444455556666"}
bob.post(f"{URL}/api/vmm/v4.0/ahv/config/vms/{VM}/$actions/power-on", headers=identified)
bob.delete(f"{URL}/api/nutanix/v3/vms/{VM}")
admin = ("admin", "Pr1sm!admin")
v2 = f"{URL}/PrismGateway/services/rest/v2.0"
requests.post(f"{v2}/vms/{VM}/set_power_state", json={"transition": "OFF"}, auth=admin)
requests.post(f"{v2}/snapshots", json={"snapshot_specs": [{"vm_uuid": VM}]}, auth=admin)
