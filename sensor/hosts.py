"""Hypervisors by their heartbeats: who is there, what it runs, and whose vCenter it tells.

A heartbeat comes every ten seconds with a counter, so what is missing between two was lost on the
way to the sensor, or to vCenter. Anybody can send one: what is learned from it is a guess.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from decoders.message import HostBeat
from sensor.flows import Flow

HOSTS_MAX = 16384  # vCenter's maximum is 2,500 hosts
SECOND = 10**9
BEAT_NS = 10 * SECOND
# vCenter's notRespondingTimeout: who is there has been heard by then.
LEARNING_NS = 60 * SECOND
COUNTER_BITS = 32
# Two spans or a network that reorders deliver a beat again, or late.
LATE_MAX = 8
# Beats more than fit into the time since the last: the counter began anew.
SLACK = 3


@dataclass(slots=True)
class Host:
    key: str
    address: str  # the beats come from
    build: int
    counter: int
    vcenter: str
    last_ns: int


class Change(NamedTuple):
    """Something about a host that an analyst should look at."""

    reason: str
    value: str


class Hosts:
    def __init__(self, hosts_max: int = HOSTS_MAX) -> None:
        self._hosts_max = hosts_max
        self._hosts: OrderedDict[tuple[str, str], Host] = OrderedDict()  # by address and key
        self._first_ns = 0
        self.shed = 0
        self.received = 0
        self.missed = 0
        self.restarts = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def beat(self, message: HostBeat, flow: Flow) -> list[Change]:
        self.received += 1
        self._first_ns = self._first_ns or message.time_ns
        key = (flow.client_ip, message.host_key)
        host = self._hosts.get(key)
        if host is None:
            return self._new(key, message, flow.server_ip)
        changes = []
        if message.build != host.build:
            changes.append(Change("host_build_changed", f"{host.build} {message.build}"))
            host.build = message.build
        if flow.server_ip != host.vcenter:
            changes.append(Change("host_vcenter_changed", f"{host.vcenter} {flow.server_ip}"))
            host.vcenter = flow.server_ip
        self._count(host, message)
        self._hosts.move_to_end(key)
        return changes

    def _new(self, key: tuple[str, str], message: HostBeat, vcenter: str) -> list[Change]:
        self._hosts[key] = Host(
            key[1], key[0], message.build, message.counter, vcenter, message.time_ns
        )
        if len(self._hosts) > self._hosts_max:
            self._hosts.popitem(last=False)
            self.shed += 1
        if message.time_ns - self._first_ns < LEARNING_NS:
            return []
        return [Change("new_host", f"{message.host_key} build {message.build}")]

    def _count(self, host: Host, message: HostBeat) -> None:
        """Counters are unsigned and wrap; one that jumps began anew, and tells of no loss."""
        ahead = (message.counter - host.counter) % (1 << COUNTER_BITS)
        elapsed_ns = message.time_ns - host.last_ns
        if ahead == 0 or ahead >= (1 << COUNTER_BITS) - LATE_MAX:
            return
        if ahead > elapsed_ns // BEAT_NS + SLACK:
            self.restarts += 1
        else:
            self.missed += ahead - 1
        host.counter, host.last_ns = message.counter, message.time_ns
