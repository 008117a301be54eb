"""What the site says of its services: which address is which, under whose accounts they act.

Made from the [[service]] entries of the configuration; nothing here is learned.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sensor.service_settings import ServiceSettings, is_network

PROXY = "PXY"
_CACHED = 65536  # addresses

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Place(NamedTuple):
    """Addresses of a service, and its ports there; no ports: all."""

    network: Network
    ports: tuple[int, ...]
    service: str

    def overlaps(self, other: "Place") -> bool:
        """Does neither say more exactly than the other which service is there?"""
        same_ports = self.ports == other.ports or bool(set(self.ports) & set(other.ports))
        return self.network == other.network and same_ports


class Site:
    """Of networks that hold an address the smallest counts; of those the one that names a port."""

    def __init__(
        self, entries: Iterable[ServiceSettings] = (), no_services: Iterable[str] = ()
    ) -> None:
        """`no_services`: networks that hold none, whatever is seen of them."""
        entries = tuple(entries)
        self._excluded = tuple(map(ipaddress.ip_network, no_services))
        self.services = frozenset(entry.id for entry in entries)
        self.names = dict(_names(entries))  # of servers, in lower case -> service
        places = [place for entry in entries for place in _places(entry)]
        self.proxies = tuple(str(each.network) for each in places if each.service == PROXY)
        self._places = sorted(
            (each for each in places if each.service != PROXY),
            key=lambda each: (-each.network.prefixlen, not each.ports),
        )
        self.has_places = bool(self._places)  # asked for with each call
        self._homes = _homes(entries)
        self.with_accounts = frozenset(entry.id for entry in entries if entry.accounts)
        self._found: dict[str, tuple[Place, ...]] = {}

    def at(self, ip: str, port: int) -> str:
        """The service that answers there, or ""."""
        for place in self._holding(ip) if self._places else ():
            if not place.ports or port in place.ports:
                return place.service
        return ""

    def of(self, ip: str) -> str:
        """The service that calls from there, or ""."""
        places = self._holding(ip) if self._places else ()
        return places[0].service if places else ""

    def excludes(self, ip: str) -> bool:
        """Does the site say that no service is there? An entry that names one counts more."""
        if not self._excluded or self.of(ip):
            return False
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._excluded)

    def has_account(self, user: str) -> bool:
        """Do services act under this account?"""
        return user in self._homes

    def homes(self, user: str) -> frozenset[str]:
        """The services that alone act under this account; empty if it is not said from where."""
        return self._homes.get(user, frozenset())

    def overlaps(self) -> Iterator[tuple[Place, Place]]:
        """Entries that say different services of the same address."""
        for number, place in enumerate(self._places):
            for other in self._places[number + 1 :]:
                if place.overlaps(other) and place.service != other.service:
                    yield place, other

    def _holding(self, ip: str) -> tuple[Place, ...]:
        found = self._found.get(ip)
        if found is None:
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[ip] = found = tuple(self._search(ip))
        return found

    def _search(self, ip: str) -> Iterator[Place]:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:  # what a PROXY header may name
            return
        yield from (place for place in self._places if address in place.network)


def _places(entry: ServiceSettings) -> Iterator[Place]:
    for text in entry.addresses:
        if is_network(text):
            yield Place(ipaddress.ip_network(text), entry.ports, entry.id)


def _names(entries: Iterable[ServiceSettings]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        yield from ((text, entry.id) for text in entry.addresses if not is_network(text))


def _homes(entries: Iterable[ServiceSettings]) -> dict[str, frozenset[str]]:
    homes: dict[str, frozenset[str]] = {}
    anywhere: set[str] = set()
    for entry in entries:
        is_placed = any(True for _ in _places(entry))
        for account in entry.accounts:
            homes[account] = homes.get(account, frozenset()) | {entry.id}
            anywhere |= set() if is_placed else {account}
    return {account: frozenset() if account in anywhere else at for account, at in homes.items()}
