"""State of network interfaces, asked of the kernel in this network namespace."""

import fcntl
import socket
import struct
from dataclasses import dataclass

_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_SIOCGIFMTU = 0x8921
_SIOCGIFHWADDR = 0x8927
_IFF_UP = 0x1  # linux/if.h
_IFF_RUNNING = 0x40
_ARPHRD_ETHER = 1  # linux/if_arp.h
_ARPHRD_LOOPBACK = 772
_IFREQ_BYTES = 40


@dataclass(frozen=True, slots=True)
class Link:
    up: bool
    carrier: bool
    mtu: int
    ethernet: bool  # frames have an Ethernet header


def names() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def link_of(name: str) -> Link | None:
    """None: there is no such interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            (flags,) = _ask(asker, _SIOCGIFFLAGS, name, "H")
            (mtu,) = _ask(asker, _SIOCGIFMTU, name, "i")
            (kind,) = _ask(asker, _SIOCGIFHWADDR, name, "H")
        except OSError:
            return None
    return Link(
        up=bool(flags & _IFF_UP),
        carrier=bool(flags & _IFF_RUNNING),
        mtu=mtu,
        ethernet=kind in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK),
    )


def trouble(name: str) -> str:
    """Why nothing can be heard on an interface, or ""."""
    link = link_of(name)
    if link is None:
        return f"interface {name} does not exist"
    if not link.up:
        return f"interface {name} is down"
    return "" if link.carrier else f"interface {name} has no carrier"


def _ask(asker: socket.socket, request: int, name: str, kind: str) -> tuple[int, ...]:
    """One field of struct ifreq, which begins with the name in 16 bytes (netdevice(7))."""
    answer = fcntl.ioctl(asker, request, struct.pack(f"{_IFREQ_BYTES}s", name.encode()))
    return struct.unpack_from(kind, answer, 16)
