"""A flow as the meaning layers see it: who talks to whom, described once by the core."""

from typing import NamedTuple


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
