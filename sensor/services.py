"""Which address is which service, and which is a proxy in between.

A service is known by what it serves: a call that then comes from its address was made by it. A
proxy answers in the name of the service behind it, so what it serves says nothing of the calls that
it passes on.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TypeVar

from decoders.message import Call, Login, Message, Outcome, ServerSeen

# The service of a message's api, where the api alone tells.
_API_SERVICE = {"vcloud": "VCD", "vsphere-rest": "VC"}
_HOST_MOREF = "ha-"  # managers and root folder of an ESXi host; a vCenter has group-d1 and such
VPX_USER = "vpxuser"  # vCenter's account on the hosts that it manages

# Distinct claimed clients from one address before it is taken for a proxy: one could be a
# header that a client wrote for itself.
CLAIMS_OF_PROXY = 2
# Distinct people whose request ids come from one address before it is taken for their service:
# one could be sending the ids of his own requests.
USERS_OF_SERVICE = 2


K = TypeVar("K")
V = TypeVar("V")


class Strength(IntEnum):
    GUESSED = 1  # from an account's or object's name
    IMPLIED = 2  # from the protocol spoken
    SAID = 3  # by the server
    CONFIGURED = 4


class Services:
    def __init__(
        self,
        known: Mapping[str, str] | None = None,
        trusted_proxies: Iterable[str] = (),
        addresses_max: int = 65536,
    ) -> None:
        self._addresses_max = addresses_max
        self._by_ip: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self._by_port: OrderedDict[tuple[str, int], tuple[str, int]] = OrderedDict()
        self._serving: OrderedDict[str, None] = OrderedDict()  # addresses that were asked
        self._vouched: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        self._proxies: OrderedDict[str, int] = OrderedDict()  # address -> legs joined there
        self._claims: OrderedDict[str, set[str]] = OrderedDict()
        self._first_ns: OrderedDict[str, int] = OrderedDict()  # when a client was first seen
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted_proxies]
        self.shed = 0
        for ip, service in (known or {}).items():
            self._by_ip[str(ipaddress.ip_address(ip))] = (service, Strength.CONFIGURED)

    def __len__(self) -> int:
        return len(self._by_ip)

    def observe(self, message: Message, server_ip: str, server_port: int, client_ip: str) -> None:
        """Learn from a message which service answered, or called."""
        if isinstance(message, ServerSeen):
            self.learn(server_ip, server_port, message.service, Strength.SAID)
        elif isinstance(message, Login):
            self._observe_login(message, server_ip, server_port, client_ip)
        elif isinstance(message, Call):
            service = _API_SERVICE.get(message.api, "")
            if service:
                self.learn(server_ip, server_port, service, Strength.IMPLIED)
            elif message.target.id.startswith(_HOST_MOREF):
                self.learn(server_ip, server_port, "ESX", Strength.GUESSED)
            self._observe_call(server_ip, server_port, client_ip)

    def learn(self, ip: str, port: int, service: str, strength: int) -> None:
        self._learn(self._by_ip, ip, service, strength)
        self._learn(self._by_port, (ip, port), service, strength)
        self._serve(ip)

    def of_server(self, ip: str, port: int) -> str:
        """The service that answers there, also when a proxy answers for it."""
        known = self._by_port.get((ip, port)) or self._by_ip.get(ip)
        return known[0] if known is not None else ""

    def of_client(self, ip: str) -> str:
        """The service that calls from this address; "" for a person, an unknown client, a proxy."""
        if self.is_proxy(ip):
            return ""
        known = self._by_ip.get(ip)
        return known[0] if known is not None else ""

    def is_service(self, ip: str) -> bool:
        """Does this address call because others asked it to, whatever its service is called?"""
        return (ip in self._by_ip or ip in self._serving) and not self.is_proxy(ip)

    def serves(self, ip: str) -> bool:
        """Was something asked of this address, not only from it?"""
        return ip in self._serving

    def vouch(self, ip: str, service: str, user: str) -> None:
        """A call from `ip` carried an id that `service` gave to a request of `user`.

        An address that does so for several people belongs to the service: a cell behind a load
        balancer.
        """
        users = self._vouched.setdefault((ip, service), set())
        self._bound(self._vouched)
        users.add(user)
        if len(users) >= USERS_OF_SERVICE:
            del self._vouched[ip, service]
            self._learn(self._by_ip, ip, service, Strength.GUESSED)

    def client_since(self, ip: str, time_ns: int) -> int:
        """When this client was first seen; from then on its being a service could be learned."""
        since = self._first_ns.get(ip)
        if since is None:
            self._first_ns[ip] = since = time_ns
            self._bound(self._first_ns)
        return since

    def is_proxy(self, ip: str) -> bool:
        return ip in self._proxies or (bool(self._trusted) and self._is_trusted(ip))

    def is_relay(self, ip: str) -> bool:
        """Have both legs of this proxy been seen, so that the other one is to be expected?"""
        return self._proxies.get(ip, 0) > 0

    def proxy(self, ip: str, legs: int = 0) -> None:
        """This address passes on what others ask."""
        self._proxies[ip] = self._proxies.get(ip, 0) + legs
        self._bound(self._proxies)

    def claimed_client(self, ip: str, forwarded_for: str) -> str:
        """The client that a proxy at `ip` names; "" when `ip` is none, or names none.

        That is the rightmost address that is no proxy itself: what stands left of it, the client
        could have written.
        """
        if not forwarded_for:
            return ""
        claimed = self._nearest(forwarded_for)
        if not claimed or self.is_proxy(ip):
            return claimed
        if ip in self._by_ip:
            return ""
        claims = self._claims.setdefault(ip, set())
        self._bound(self._claims)
        claims.add(claimed)
        if len(claims) >= CLAIMS_OF_PROXY:
            self.proxy(ip)
            del self._claims[ip]
            return claimed
        # To pose as a service takes away nobody's blame: its calls need a cause of their own.
        return claimed if claimed in self._by_ip else ""

    def _observe_login(self, message: Login, server_ip: str, port: int, client_ip: str) -> None:
        service = _API_SERVICE.get(message.api, "")
        if service:
            self.learn(server_ip, port, service, Strength.IMPLIED)
        elif message.extension:
            self.learn(server_ip, port, "VC", Strength.GUESSED)
        elif message.user == VPX_USER and message.outcome is Outcome.SUCCESS:
            self.learn(server_ip, port, "ESX", Strength.GUESSED)
            if not self.is_proxy(client_ip):
                self._learn(self._by_ip, client_ip, "VC", Strength.GUESSED)

    def _observe_call(self, server_ip: str, server_port: int, client_ip: str) -> None:
        self._serve(server_ip)
        if client_ip in self._serving and client_ip not in self._by_ip:
            known = self.of_server(server_ip, server_port)
            if known == "ESX" and not self.is_proxy(client_ip):  # who is asked, and asks hosts
                self._learn(self._by_ip, client_ip, "VC", Strength.GUESSED)

    def _serve(self, ip: str) -> None:
        if ip not in self._serving:
            self._serving[ip] = None
            self._bound(self._serving)

    def _learn(
        self, table: OrderedDict[K, tuple[str, int]], key: K, service: str, strength: int
    ) -> None:
        known = table.get(key)
        if known is None or strength > known[1]:
            table[key] = (service, strength)
            self._bound(table)

    def _nearest(self, forwarded_for: str) -> str:
        for part in reversed(forwarded_for.split(",")):
            try:
                address = str(ipaddress.ip_address(_host_of(part)))
            except ValueError:
                continue
            if not self.is_proxy(address):
                return address
        return ""

    def _is_trusted(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:  # what a PROXY header may name
            return False
        return any(address in network for network in self._trusted)

    def _bound(self, table: OrderedDict[K, V]) -> None:
        if len(table) > self._addresses_max:
            table.popitem(last=False)
            self.shed += 1


def _host_of(part: str) -> str:
    """The address of one entry: `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `"[::1]"`."""
    part = part.strip().strip('"')
    if part.startswith("["):
        return part[1:].partition("]")[0]
    return part.partition(":")[0] if part.count(":") == 1 else part
