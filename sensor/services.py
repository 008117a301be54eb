"""Which address is which service, and which is a proxy in between.

A service is known by what it serves: a call that then comes from its address was made by it. A
proxy answers in the name of the service behind it, so what it serves says nothing of the calls that
it passes on.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple, TypeVar

from decoders.message import Call, Login, Message, Outcome, ServerSeen
from decoders.systems import PRODUCT_ACCOUNTS, SERVICE_OF_API
from sensor.callers import Account, Callers
from sensor.processes import is_address
from sensor.site import PROXY, Site

HOST_APIS = frozenset({"authd", "nfc", "vix"})  # also of VMware's products for a workstation
_HOST_MOREF = "ha-"  # managers and root folder of an ESXi host; a vCenter has group-d1 and such
VPX_USER = "vpxuser"  # vCenter's account on the hosts that it manages

# Who is believed where a site names no proxies: RFC 1918, RFC 4193, loopback.
_PRIVATE = tuple(
    ipaddress.ip_network(each)
    for each in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "fc00::/7",
        "::1/128",
    )
)
# Distinct claimed clients from one address before it is taken for a proxy, and no longer for a
# client: one could be a header that a client wrote for itself.
CLAIMS_OF_PROXY = 2
# Distinct people whose request ids come from one address, under the service's own account, before
# it is taken for their service.
USERS_OF_SERVICE = 2


_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
K = TypeVar("K")
At = TypeVar("At", str, tuple[str, int])  # an address, or one with a port
V = TypeVar("V")


class Strength(IntEnum):
    VOUCHED = 0  # by its account, and the ids that it brings
    GUESSED = 1  # from an account's or object's name
    IMPLIED = 2  # from the protocol spoken
    SAID = 3  # by the server


class Learned(NamedTuple):
    """What traffic showed of an address; port 0: as a client, or wherever it answers."""

    ip: str
    port: int
    service: str
    strength: int
    seen_ns: int


Entry = tuple[str, int, int]  # service, strength, when it was last seen


class Services:
    """What the site says counts; the rest is learned."""

    def __init__(
        self,
        site: Site | None = None,
        trusted_proxies: Iterable[str] = (),
        addresses_max: int = 65536,
    ) -> None:
        self.site = site if site is not None else Site()
        self._addresses_max = addresses_max
        self._now_ns = 0
        self._by_ip: OrderedDict[str, Entry] = OrderedDict()
        self._by_port: OrderedDict[tuple[str, int], Entry] = OrderedDict()
        self._serving: OrderedDict[str, None] = OrderedDict()  # addresses that were asked
        self._vouched: OrderedDict[tuple[str, str], set[str]] = OrderedDict()
        self._callers = Callers(addresses_max)
        self._proxies: OrderedDict[str, int] = OrderedDict()  # address -> legs joined there
        self._claims: OrderedDict[str, set[str]] = OrderedDict()
        self._first_ns: OrderedDict[str, int] = OrderedDict()  # when a client was first seen
        self._vcenters: OrderedDict[str, str] = OrderedDict()  # of hosts, by address
        self._host_names: OrderedDict[str, str] = OrderedDict()
        self._knows_vcenter = "VC" in self.site.services
        trusted = (*trusted_proxies, *self.site.proxies)
        self._trusted = [ipaddress.ip_network(each, strict=False) for each in trusted]
        self._shed = 0

    @property
    def shed(self) -> int:
        return self._shed + self._callers.shed

    def __len__(self) -> int:
        return len(self._by_ip)

    def observe(self, message: Message, server_ip: str, server_port: int, client_ip: str) -> None:
        """Learn from a message which service answered, or called."""
        self._now_ns = message.end_ns
        if isinstance(message, ServerSeen):
            self.learn(server_ip, server_port, message.service, Strength.SAID)
        elif isinstance(message, Login):
            self._observe_login(message, server_ip, server_port, client_ip)
        elif isinstance(message, Call):
            service = SERVICE_OF_API.get(message.api, "")
            if service:
                self.learn(server_ip, server_port, service, Strength.IMPLIED)
            elif message.target.id.startswith(_HOST_MOREF) or message.api in HOST_APIS:
                self.learn(server_ip, server_port, "ESX", Strength.GUESSED)
            self._observe_call(server_ip, server_port, client_ip)

    def learn(self, ip: str, port: int, service: str, strength: int) -> None:
        self._learn(self._by_ip, ip, service, strength)
        self._learn(self._by_port, (ip, port), service, strength)
        self._serve(ip)

    def heartbeat(self, host: str, vcenter: str) -> None:
        """A host tells its vCenter that it lives. Anybody can send one, so this is a guess."""
        for ip, service in ((host, "ESX"), (vcenter, "VC")):
            if not self.is_proxy(ip):
                self._learn(self._by_ip, ip, service, Strength.GUESSED)
        self._vcenters[host] = vcenter
        self._bound(self._vcenters)

    def name_host(self, ip: str, name: str) -> None:
        self._host_names[ip] = name
        self._bound(self._host_names)

    def host_name(self, ip: str) -> str:
        """What the host at this address is called; "" if it is none, or its name is unknown."""
        return self._host_names.get(ip, "")

    def is_stranger(self, host: str, client: str) -> bool:
        """Is this client of a host surely not a vCenter? Not when no vCenter is known yet."""
        if self.is_proxy(client) or self.of_client(client) == "VC":
            return False
        vcenter = self._vcenters.get(host)
        if vcenter is not None:
            return client != vcenter
        return self._knows_vcenter and not self.is_service(client)

    def is_service_account(self, user: str, client: str) -> bool:
        """Does whoever acts under this account from there act for others?"""
        if user in PRODUCT_ACCOUNTS:
            return True
        return self.site.has_account(user) and not self.is_elsewhere(user, client)

    def is_elsewhere(self, user: str, client: str) -> bool:
        """Is this a service's account, and this client surely not the service?"""
        homes = self.site.homes(user)
        return bool(homes) and not self.is_proxy(client) and self.of_client(client) not in homes

    def of_server(self, ip: str, port: int) -> str:
        """The service that answers there, also when a proxy answers for it."""
        said = self.site.at(ip, port) if self.site.has_places else ""
        if said:
            return said
        known = self._by_port.get((ip, port)) or self._by_ip.get(ip)
        return known[0] if known is not None else ""

    def of_client(self, ip: str) -> str:
        """The service that calls from this address; "" for a person, an unknown client, a proxy."""
        return "" if self.is_proxy(ip) else self._of(ip)

    def is_service(self, ip: str) -> bool:
        """Does this address call because others asked it to, whatever its service is called?"""
        return (ip in self._serving or bool(self._of(ip))) and not self.is_proxy(ip)

    def serves(self, ip: str) -> bool:
        """Was something asked of this address, not only from it?"""
        return ip in self._serving

    def acted(self, ip: str, server: str, user: str) -> None:
        """The server let this client act under the account of `user`."""
        account = (server, user)
        if not user or account in self._callers.accounts(ip) or self.is_proxy(ip):
            return
        self._callers.note(ip, account)
        service = self._vouched_for(ip)
        if service and self.acts_otherwise(service, account):
            del self._by_ip[ip]  # somebody works there, who could have copied the ids

    def may_be(self, ip: str, service: str, account: Account) -> bool:
        """Could this be an address of the service that is not known yet?

        Its account tells: one under which the service's known addresses act there. A request's id
        does not: whoever reads the service's traffic or logs can send it.
        """
        if self.site.excludes(ip) or self.is_elsewhere(account[1], ip):
            return False
        return self._is_account_of(service, account)

    def acts_otherwise(self, service: str, account: Account) -> bool:
        """Is the service known to act there, but under other accounts?"""
        if not account[1] or self._is_account_of(service, account):
            return False
        return any(self._is_account_of(service, each) for each in self._callers.at(account[0]))

    def vouch(self, ip: str, service: str, user: str, account: Account) -> None:
        """A call from `ip`, under this account, carried an id that `service` made for `user`.

        An address that does so for several people, and acts under no account that is not the
        service's, belongs to it: a cell behind a load balancer.
        """
        accounts = (account, *self._callers.accounts(ip))
        if not self.may_be(ip, service, account) or not all(
            self._is_account_of(service, each) for each in accounts
        ):
            return
        users = self._vouched.setdefault((ip, service), set())
        self._bound(self._vouched)
        users.add(user)
        if len(users) >= USERS_OF_SERVICE:
            del self._vouched[ip, service]
            self._learn(self._by_ip, ip, service, Strength.VOUCHED)

    def client_since(self, ip: str, time_ns: int) -> int:
        """When this client was first seen; from then on its being a service could be learned."""
        since = self._first_ns.get(ip)
        if since is None:
            self._first_ns[ip] = since = time_ns
            self._bound(self._first_ns)
        return since

    def is_proxy(self, ip: str) -> bool:
        return ip in self._proxies or (bool(self._trusted) and self.trusts(ip))

    def is_relay(self, ip: str) -> bool:
        """Have both legs of this proxy been seen, so that the other one is to be expected?"""
        return self._proxies.get(ip, 0) > 0

    def proxy(self, ip: str, legs: int = 0) -> None:
        """This address passes on what others ask."""
        self._proxies[ip] = self._proxies.get(ip, 0) + legs
        self._bound(self._proxies)

    def believes(self, ip: str) -> bool:
        """May this address say whose requests it passes on? Proxies that the site names; where it
        names none, private addresses.
        """
        return _is_within(ip, self._trusted or _PRIVATE)

    def trusts(self, ip: str) -> bool:
        """Is it a proxy that the site names?"""
        return bool(self._trusted) and _is_within(ip, self._trusted)

    def claimed_client(self, ip: str, forwarded_for: str) -> str:
        """The client that a proxy at `ip` names; "" when `ip` is not believed, or names none.

        That is the rightmost address that is no proxy itself: what stands left of it, the client
        could have written.
        """
        if not forwarded_for or not self.believes(ip):
            return ""
        claimed = self._nearest(forwarded_for)
        if not claimed or self.is_proxy(ip):
            return claimed
        if self._of(ip):
            return ""
        claims = self._claims.setdefault(ip, set())
        self._bound(self._claims)
        claims.add(claimed)
        if len(claims) >= CLAIMS_OF_PROXY:
            self.proxy(ip)
            del self._claims[ip]
        # To pose as a service takes away nobody's blame: its calls need a cause of their own.
        return claimed

    def learned(self) -> list[Learned]:
        """What traffic showed since the start."""
        ports = {(ip, entry[0]) for (ip, _), entry in self._by_port.items()}
        found = [Learned(ip, port, *entry) for (ip, port), entry in self._by_port.items()]
        found += [
            Learned(ip, 0, *entry)
            for ip, entry in self._by_ip.items()
            if (ip, entry[0]) not in ports
        ]
        found += [Learned(ip, 0, PROXY, Strength.IMPLIED, self._now_ns) for ip in self._proxies]
        return [each for each in found if each.seen_ns and is_address(each.ip)]

    def recall(self, learned: Iterable[Learned]) -> None:
        """What an earlier run learned; believed until anything says otherwise."""
        for each in learned:
            if self.site.excludes(each.ip):
                continue
            if each.service == PROXY:  # two requests show it anew; a service there would be unseen
                continue
            entry = (each.service, min(each.strength, Strength.GUESSED), 0)
            self._by_ip.setdefault(each.ip, entry)
            self._bound(self._by_ip)
            if each.port:
                self._by_port.setdefault((each.ip, each.port), entry)
                self._bound(self._by_port)
                self._serve(each.ip)
            self._knows_vcenter |= each.service == "VC"

    def _is_account_of(self, service: str, account: Account) -> bool:
        """Does the service act under it there, as the site says or as was seen?"""
        if service in self.site.homes(account[1]):
            return True
        return any(
            self.of_client(each) == service and not self._vouched_for(each)
            for each in self._callers.clients(account)
        )

    def _vouched_for(self, ip: str) -> str:
        """The service that nothing else shows the address to be."""
        known = self._by_ip.get(ip)
        if known is None or known[1] > Strength.VOUCHED or self.site.of(ip):
            return ""
        return known[0]

    def _observe_login(self, message: Login, server_ip: str, port: int, client_ip: str) -> None:
        service = SERVICE_OF_API.get(message.api, "")
        if service:
            self.learn(server_ip, port, service, Strength.IMPLIED)
        elif message.extension:
            self.learn(server_ip, port, "VC", Strength.GUESSED)
        elif message.user == VPX_USER and message.outcome is Outcome.SUCCESS:
            self.learn(server_ip, port, "ESX", Strength.GUESSED)
            if not self.is_proxy(client_ip) and not self.is_stranger(server_ip, client_ip):
                self._learn(self._by_ip, client_ip, "VC", Strength.GUESSED)
        elif message.api in HOST_APIS:
            self.learn(server_ip, port, "ESX", Strength.GUESSED)

    def _observe_call(self, server_ip: str, server_port: int, client_ip: str) -> None:
        self._serve(server_ip)
        if client_ip in self._serving and not self._of(client_ip):
            known = self.of_server(server_ip, server_port)
            if known == "ESX" and not self.is_proxy(client_ip):  # who is asked, and asks hosts
                self._learn(self._by_ip, client_ip, "VC", Strength.GUESSED)

    def _serve(self, ip: str) -> None:
        if ip not in self._serving:
            self._serving[ip] = None
            self._bound(self._serving)

    def _of(self, ip: str) -> str:
        said = self.site.of(ip) if self.site.has_places else ""
        known = self._by_ip.get(ip)
        return said or (known[0] if known is not None else "")

    def _learn(self, table: OrderedDict[At, Entry], key: At, service: str, strength: int) -> None:
        if self.site.excludes(key if isinstance(key, str) else key[0]):
            return
        known = table.get(key)
        if known is None or strength > known[1] or not known[2]:  # 0: of an earlier run
            table[key] = (service, strength, self._now_ns)
            self._knows_vcenter |= service == "VC"
            self._bound(table)
        elif known[0] == service:
            table[key] = (service, known[1], self._now_ns)

    def _nearest(self, forwarded_for: str) -> str:
        for part in reversed(forwarded_for.split(",")):
            if not part.strip():
                continue
            try:
                address = str(ipaddress.ip_address(_host_of(part)))
            except ValueError:  # "unknown", "_hidden" (RFC 7239 section 6): nothing beyond is sure
                return ""
            if not self.is_proxy(address):
                return address
        return ""

    def _bound(self, table: OrderedDict[K, V]) -> None:
        if len(table) > self._addresses_max:
            table.popitem(last=False)
            self._shed += 1


def _is_within(ip: str, networks: Iterable[_Network]) -> bool:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:  # what a PROXY header may name
        return False
    return any(address in network for network in networks)


def _host_of(part: str) -> str:
    """The address of one entry: `1.2.3.4`, `1.2.3.4:80`, `[::1]:80`, `"[::1]"`."""
    part = part.strip().strip('"')
    if part.startswith("["):
        return part[1:].partition("]")[0]
    return part.partition(":")[0] if part.count(":") == 1 else part
