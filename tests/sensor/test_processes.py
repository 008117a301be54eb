"""Which process a tap read in, and what stands for an address."""

import pytest

from sensor.processes import process_of, shown
from sensor.records import Endpoint, Process, Record

CONTAINER = "3f" * 32


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        ("0::/init.scope", ""),
        ("0::/system.slice/nginx.service", ""),
        (f"0::/system.slice/docker-{CONTAINER}.scope", CONTAINER),
        (f"12:pids:/docker/{CONTAINER}\n0::/\n", CONTAINER),
        (f"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{CONTAINER}.scope", CONTAINER),
        (f"0::/kubepods/burstable/pod1/{CONTAINER}", CONTAINER),
        (f"0::/kubepods.slice/crio-{CONTAINER}.scope/container", CONTAINER),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container", CONTAINER),
        (f"0::/system.slice/containerd.service/kubepods:cri-containerd:{CONTAINER}", CONTAINER),
        (f"0::/../{CONTAINER}", CONTAINER),
        (f"0::/x{CONTAINER}", ""),
    ],
)
def test_the_container_of_a_process(cgroup: str, container: str) -> None:
    assert process_of("nginx", 7, cgroup) == Process("nginx", 7, container)


def test_what_stands_for_an_address_is_not_shown() -> None:
    end = Endpoint("process:7", 0, "VC", "bob")
    record = Record(kind="action", ts=1, source=Endpoint("peer of process:7"), to=end)
    assert shown(record).source == Endpoint()
    assert shown(record).to == Endpoint("", 0, "VC", "bob")
    placed = Record(kind="action", ts=1, source=Endpoint("10.0.0.1"), to=Endpoint("::1", 443))
    assert shown(placed) is placed
