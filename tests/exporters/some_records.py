"""Records as a busy site makes them, and as an attacker would like them to be."""

from sensor.records import (
    Candidate,
    Chain,
    Client,
    Endpoint,
    Evidence,
    FlowRef,
    Hop,
    ObjectRef,
    Operation,
    Record,
    SensorRef,
    new_id,
)

START_NS = 1_763_730_000_000_000_000


def busy(number: int, **changes: object) -> Record:
    """An action three levels down, of some 1.3 kB."""
    chosen = {
        "kind": "action",
        "ts": START_NS + number * 1_000_000,
        "ts_end": START_NS + number * 1_000_000 + 41_377,
        "id": new_id(START_NS + number * 1_000_000),
        "chain": Chain(
            f"c-{number}",
            "VCD:bob@acme:VC:vCloudService:ESX:vpxuser",
            ("bob@acme", "vCloudService", "vpxuser"),
            ("VCD", "VC", "ESX"),
            3,
        ),
        "hop": Hop(
            2,
            3,
            "ESX",
            "vpxuser",
            "correlated",
            0.97,
            parent_id=new_id(START_NS),
            candidates=(
                Candidate("a", "bob@acme", "VCD:bob@acme:VC:vCloudService", 0.97),
                Candidate("b", "Зоя\\ops", "VCD:Зоя\\\\ops:VC:vCloudService", 0.03),
            ),
            evidence=(
                Evidence("operation_id", f"opid-{number:08x}", "asserted"),
                Evidence("target", f"vm-{number % 100}", "inferred"),
            ),
        ),
        "source": Endpoint("10.1.2.3", 51_000 + number % 1000, "VC", "vCloudService", "b2s:12ab"),
        "to": Endpoint("10.1.2.9", 443, "ESX", "vpxuser", "b2s:77fe", "esx7"),
        "op": Operation("Destroy_Task", "vim25 8.0.3.0", "delete", f"opid-{number:08x}"),
        "target": ObjectRef("VirtualMachine", f"vm-{number % 100}", f"web {number % 100}"),
        "outcome": "success",
        "task": f"task-{number}",
        "flow": FlowRef("tcp", "1:wCb3OG7yAFWelaUydu0D+125CLM=", f"Cx{number}"),
        "client": Client("VMware VI Client/4.0.0"),
        "sensor": SensorRef("s1", "eth0", "0.1.0"),
    }
    return Record(**chosen | changes)  # type: ignore[arg-type]
