"""What a person asks of oVirt, by its SDK."""

import contextlib

import ovirtsdk4 as sdk
from ovirtsdk4 import types

URL = "http://10.91.0.2:8080/ovirt-engine/api"

stranger = sdk.Connection(url=URL, username="eve@internal", password="wrong")
with contextlib.suppress(sdk.Error):
    stranger.system_service().vms_service().list()
bob = sdk.Connection(url=URL, username="bob@internal", password="B0b!ovirt")
machines = bob.system_service().vms_service()
machine = machines.vm_service(machines.list()[0].id)
machine.start(query={"correlation_id": "bob-run-7"})
with contextlib.suppress(sdk.Error):
    machine.stop()
machine.ticket()
machine.snapshots_service().add(types.Snapshot(description="before"))
cluster, template = types.Cluster(name="Default"), types.Template(name="Blank")
machines.add(types.Vm(name="db", cluster=cluster, template=template))
machine.remove()
bob.close()
