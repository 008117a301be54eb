"""A flow as the meaning layers see it: who talks to whom, described once by the core."""

from typing import NamedTuple

from sensor.processes import is_address, process_of
from sensor.records import Process

Ends = tuple[str, int, str, int]


class Flow(NamedTuple):
    """Fields in the order of sensor/_core.pyi FlowTuple; addresses are text, ports numbers."""

    protocol: int
    client_ip: str
    client_port: int
    server_ip: str
    server_port: int
    vlan: int  # -1: none
    tunnel: str  # "": none
    community_id: str
    uid: str
    source: int  # index of the file or interface
    pid: int = 0  # of the process in which a tap read it; 0: its packets were captured
    tap: int = 0  # number of the tap
    serves: bool = False  # the process is the server
    name: str = ""  # of that process
    cgroup: str = ""  # the same, as /proc shows it

    @property
    def tapped(self) -> bool:
        return self.pid != 0

    @property
    def process(self) -> Process | None:
        """In which a tap read it."""
        return process_of(self.name, self.pid, self.cgroup) if self.tapped else None

    @property
    def ends(self) -> "Ends":
        """The same of a tapped flow and of its packets; of no use when not is_placed."""
        return self.client_ip, self.client_port, self.server_ip, self.server_port

    @property
    def is_placed(self) -> bool:
        """Are its addresses known?"""
        return is_address(self.client_ip)
