"""The process in which a tap read: what records say of it, and where it stands for an address."""

import re
from dataclasses import replace
from functools import lru_cache

from sensor.records import Endpoint, Process, Record

# Endpoints of a tapped flow whose socket is not known (sensor/_core.pyi).
OWN, PEER = "process:", "peer of process:"

# Docker, containerd, CRI-O and podman name a container by 64 hex digits, the last of its path: with
# systemd as docker-ID.scope, cri-containerd-ID.scope, crio-ID.scope, libpod-ID.scope, else as ID.
# What follows is of the container's own making, as libpod-ID.scope/container.
_CONTAINER = re.compile(r"(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?=/|$)", re.MULTILINE)


@lru_cache(maxsize=4096)
def process_of(name: str, pid: int, cgroup: str) -> Process:
    containers = _CONTAINER.findall(cgroup)
    return Process(name, pid, containers[-1] if containers else "")


def is_address(ip: str) -> bool:
    """Not so of what stands for one."""
    return not ip.startswith((OWN, PEER))


def shown(record: Record) -> Record:
    """Without what stands for an address that is not known: it is none."""
    source, to = _addressed(record.source), _addressed(record.to)
    if source is record.source and to is record.to:
        return record
    return replace(record, source=source, to=to)


def _addressed(end: Endpoint) -> Endpoint:
    return end if is_address(end.ip) else replace(end, ip="")
