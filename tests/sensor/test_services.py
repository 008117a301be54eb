"""Which address is which service, and which a proxy."""

from typing import Any

import pytest

from decoders.message import Call, Login, LoginMethod, OperationClass, Outcome, ServerSeen, Target
from sensor.service_settings import ServiceSettings
from sensor.services import Learned, Services, Strength
from sensor.site import Site

SERVER, CLIENT, PROXY, HOST = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


def site_of(**addresses: str) -> Site:
    return Site([ServiceSettings(service, (ip,)) for service, ip in addresses.items()])


def login(api: str, user: str, *, extension: bool = False) -> Login:
    return Login(
        api=api, operation="Login", method=LoginMethod.PASSWORD, outcome=Outcome.SUCCESS,
        user=user, extension=extension, time_ns=1, end_ns=2,
    )  # fmt: skip


def call(api: str, target: str) -> Call:
    return Call(
        api=api, operation="x", operation_class=OperationClass.UPDATE,
        target=Target("Folder", target), time_ns=1, end_ns=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "service"),
    [
        (ServerSeen(service="VC", time_ns=1, end_ns=2), "VC"),
        (login("vcloud", "bob@acme"), "VCD"),
        (login("vsphere-rest", "bob"), "VC"),
        (login("vim25", "com.example.plugin", extension=True), "VC"),
        (login("vim25", "vpxuser"), "ESX"),
        (login("vim25", "root"), ""),
        (call("vcloud", "vapp-1"), "VCD"),
        (call("vim25", "ha-folder-vm"), "ESX"),
        (call("vim25", "group-d1"), ""),
    ],
)
def test_what_a_server_is(message: Login | Call | ServerSeen, service: str) -> None:
    services = Services()
    services.observe(message, SERVER, 443, CLIENT)
    assert services.of_server(SERVER, 443) == service
    assert services.of_client(SERVER) == service


def test_who_logs_in_to_a_host_as_vpxuser_is_its_vcenter() -> None:
    services = Services()
    services.observe(login("vim25", "vpxuser"), SERVER, 443, CLIENT)
    assert services.of_client(CLIENT) == "VC"
    assert not services.serves(CLIENT) and services.serves(SERVER)


def test_what_is_said_outweighs_what_is_guessed_and_configuration_both() -> None:
    services = Services(site_of(VRA=CLIENT))
    services.observe(call("vim25", "ha-folder-vm"), SERVER, 443, "10.0.0.9")
    services.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), SERVER, 443, "10.0.0.9")
    services.observe(call("vim25", "ha-folder-vm"), SERVER, 443, "10.0.0.9")
    assert services.of_server(SERVER, 443) == "VC"
    services.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), CLIENT, 443, "10.0.0.9")
    assert services.of_client(CLIENT) == "VRA"


def test_an_address_is_configured_however_it_is_written() -> None:
    assert Services(site_of(VCD="2001:DB8:0::1")).of_client("2001:db8::1") == "VCD"


def test_two_services_at_one_address_are_told_apart_by_port() -> None:
    services = Services()
    services.observe(login("vcloud", "bob"), SERVER, 443, CLIENT)
    services.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), SERVER, 9443, CLIENT)
    assert services.of_server(SERVER, 443) == "VCD"
    assert services.of_server(SERVER, 9443) == "VC"


def test_a_proxy_answers_for_a_service_but_calls_for_others() -> None:
    services = Services()
    services.learn(PROXY, 443, "VC", Strength.SAID)
    services.proxy(PROXY)
    assert services.of_server(PROXY, 443) == "VC"
    assert services.of_client(PROXY) == ""


def test_a_header_of_one_client_does_not_make_it_a_proxy() -> None:
    services = Services()
    assert services.claimed_client(CLIENT, "10.9.9.9") == "10.9.9.9"
    assert services.claimed_client(CLIENT, "10.9.9.9") == "10.9.9.9"
    assert not services.is_proxy(CLIENT)


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ([], "10.1.2.3", True),
        ([], "172.31.255.1", True),
        ([], "172.32.0.1", False),
        ([], "192.168.0.9", True),
        ([], "127.0.0.1", True),
        ([], "::1", True),
        ([], "fd12::1", True),
        ([], "2001:db8::1", False),
        ([], "192.0.2.1", False),
        (["192.0.2.0/24"], "192.0.2.1", True),
        (["192.0.2.0/24"], "10.1.2.3", False),
        ([], "/run/local.sock", False),
    ],
)
def test_who_is_believed(trusted: list[str], peer: str, believed: bool) -> None:
    """Proxies that the site names; private addresses where it names none."""
    services = Services(trusted_proxies=trusted)
    for last in range(1, 4):
        claim = f"10.9.9.{last}"
        assert services.claimed_client(peer, claim) == (claim if believed else "")
    assert services.believes(peer) is believed
    assert services.trusts(peer) is (believed and bool(trusted))


def test_an_address_that_speaks_for_several_is_a_proxy() -> None:
    services = Services()
    assert services.claimed_client(PROXY, "10.9.9.1") == "10.9.9.1"
    assert not services.is_proxy(PROXY)
    assert services.claimed_client(PROXY, "10.9.9.2") == "10.9.9.2"
    assert services.is_proxy(PROXY)
    assert services.claimed_client(PROXY, "10.9.9.1") == "10.9.9.1"


def test_a_service_is_no_proxy_whatever_it_claims() -> None:
    services = Services()
    services.learn(SERVER, 443, "VCD", Strength.SAID)
    for last in range(5):
        assert services.claimed_client(SERVER, f"10.9.9.{last}") == ""
    assert services.of_client(SERVER) == "VCD"


def test_trusted_proxies_are_believed_at_once() -> None:
    services = Services(trusted_proxies=["10.0.0.0/30"])
    assert services.is_proxy(PROXY)
    assert services.claimed_client(PROXY, "10.9.9.1") == "10.9.9.1"


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("10.9.9.1", "10.9.9.1"),
        ("1.2.3.4, 10.9.9.1", "10.9.9.1"),  # the left one the client could have written
        ("10.9.9.1, 10.0.0.3", "10.9.9.1"),  # a second proxy
        ("10.9.9.1:4711", "10.9.9.1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown, _hidden", ""),
        ("10.9.9.1, _hidden", ""),  # whom it hides could have written the rest
        ("10.9.9.1, unknown, 10.0.0.3", ""),
        ("10.9.9.1, ", "10.9.9.1"),
        ("", ""),
    ],
)
def test_the_nearest_address_that_is_no_proxy(forwarded_for: str, client: str) -> None:
    services = Services()
    services.proxy(PROXY)
    assert services.claimed_client(PROXY, forwarded_for) == client


def test_tables_are_bounded() -> None:
    services = Services(addresses_max=10)
    for number in range(100):
        services.learn(f"10.1.0.{number}", 443, "ESX", Strength.SAID)
        services.client_since(f"10.2.0.{number}", number)
        services.claimed_client(f"10.3.0.{number}", "10.9.9.9")
        services.acted(f"10.4.0.{number}", HOST, "svc")
    assert len(services) == 10
    assert services.shed > 300


def vouched(*users: str, account: str = "svc", **site: Any) -> Services:
    """CLIENT brought the cloud's ids of these users to HOST, where the cloud acts as svc."""
    services = Services(**site)
    services.learn(SERVER, 443, "VCD", Strength.SAID)
    services.acted(SERVER, HOST, "svc")
    for user in users:
        services.vouch(CLIENT, "VCD", user, (HOST, account))
    return services


def test_an_address_with_the_services_account_and_several_peoples_ids_is_the_services() -> None:
    assert vouched("bob", "alice").of_client(CLIENT) == "VCD"
    assert vouched("bob", "bob").of_client(CLIENT) == ""
    assert vouched("bob", "alice", account="mallory").of_client(CLIENT) == ""


def test_an_account_is_a_services_at_one_server_only() -> None:
    services = vouched()
    for user in ("bob", "alice"):
        services.vouch(CLIENT, "VCD", user, ("10.0.0.99", "svc"))
        services.vouch(CLIENT, "VRA", user, (HOST, "svc"))
    assert services.of_client(CLIENT) == ""


def test_who_also_acts_under_another_account_is_no_service() -> None:
    services = vouched("bob")
    services.acted(CLIENT, HOST, "mallory")
    services.vouch(CLIENT, "VCD", "alice", (HOST, "svc"))
    assert services.of_client(CLIENT) == ""
    services = vouched("bob", "alice")
    services.acted(CLIENT, HOST, "svc")
    assert services.of_client(CLIENT) == "VCD"
    services.acted(CLIENT, HOST, "mallory")
    assert services.of_client(CLIENT) == ""


def test_an_address_that_was_vouched_for_vouches_for_no_account() -> None:
    services = vouched("bob", "alice")
    services.acted(CLIENT, SERVER, "mallory@acme")
    assert not services.may_be("10.0.0.9", "VCD", (SERVER, "mallory@acme"))


def test_what_the_site_says_of_an_account_and_an_address_decides() -> None:
    cloud = ServiceSettings("VCD", accounts=("svc-2",))
    assert vouched("bob", "alice", site=Site([cloud])).of_client(CLIENT) == "VCD"
    placed = ServiceSettings("VCD", (SERVER,), accounts=("svc",))
    assert vouched("bob", "alice", site=Site([placed])).of_client(CLIENT) == ""
    jump_hosts = Site(no_services=[f"{CLIENT}/32"])
    assert vouched("bob", "alice", site=jump_hosts).of_client(CLIENT) == ""


def test_what_was_configured_is_not_forgotten() -> None:
    services = Services(site_of(VRA=SERVER, VCD=CLIENT), addresses_max=3)
    for number in range(100):
        services.learn(f"10.1.0.{number}", 443, "ESX", Strength.SAID)
    assert (services.of_client(SERVER), services.of_client(CLIENT)) == ("VRA", "VCD")
    assert services.of_client("10.1.0.99") == "ESX" and len(services) == 3


def test_who_is_a_stranger_to_a_host() -> None:
    services = Services()
    assert not services.is_stranger(HOST, CLIENT)  # no vCenter is known
    services.heartbeat(HOST, SERVER)
    assert services.of_client(HOST) == "ESX" and services.of_client(SERVER) == "VC"
    assert services.is_stranger(HOST, CLIENT) and not services.is_stranger(HOST, SERVER)
    services.proxy(PROXY)
    assert not services.is_stranger(HOST, PROXY)
    other = "10.0.0.5"
    assert services.is_stranger(other, CLIENT)  # some vCenter is known, and this is none
    services.observe(call("vim25", "group-d1"), CLIENT, 443, "10.0.0.9")
    assert not services.is_stranger(other, CLIENT)  # it may be one, it serves somebody
    assert services.is_stranger(HOST, CLIENT)  # but not this one's


def test_a_stranger_does_not_become_a_vcenter_by_vpxusers_password() -> None:
    services = Services()
    services.heartbeat(HOST, SERVER)
    services.observe(login("vim25", "vpxuser"), HOST, 443, CLIENT)
    assert services.of_client(CLIENT) == ""


def test_accounts_that_act_for_others() -> None:
    services = Services(Site([ServiceSettings("VCD", accounts=("vCloudService",))]))
    for user in ("vpxuser", "vCloudService"):
        assert services.is_service_account(user, CLIENT)
        assert not services.is_elsewhere(user, CLIENT)
    assert not services.is_service_account("root", CLIENT)


def test_an_account_is_the_services_own_only_where_the_service_is() -> None:
    entry = ServiceSettings("VCD", (SERVER,), accounts=("vCloudService",))
    services = Services(Site([entry]))
    assert services.is_service_account("vCloudService", SERVER)
    assert services.is_elsewhere("vCloudService", CLIENT)
    assert not services.is_service_account("vCloudService", CLIENT)
    services.proxy(PROXY)  # whoever is behind it
    assert services.is_service_account("vCloudService", PROXY)
    services.learn(CLIENT, 443, "VCD", Strength.SAID)  # another cell, which was not configured
    assert services.is_service_account("vCloudService", CLIENT)


def test_what_was_learned_is_believed_until_something_else_is_said() -> None:
    before = Services()
    before.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), SERVER, 443, CLIENT)
    before.observe(login("vim25", "vpxuser"), HOST, 443, SERVER)
    before.observe(login("vim25", "vpxuser"), HOST, 443, CLIENT)
    before.proxy(PROXY)
    learned = before.learned()
    assert learned == [
        Learned(SERVER, 443, "VC", Strength.SAID, 2),
        Learned(HOST, 443, "ESX", Strength.GUESSED, 2),
        Learned(PROXY, 0, "PXY", Strength.IMPLIED, 2),
    ]
    services = Services()
    services.recall(learned)
    assert services.of_client(SERVER) == "VC" and services.serves(SERVER)
    assert services.of_server(HOST, 443) == "ESX"
    assert services.is_stranger(HOST, CLIENT)
    assert not services.is_proxy(PROXY)  # that shows itself at once, and hides a service
    assert services.learned() == []  # nothing of it was seen in this run
    services.observe(login("vim25", "vpxuser"), SERVER, 443, PROXY)  # even by a guess
    assert services.of_server(SERVER, 443) == "ESX"
    assert [each.service for each in services.learned()] == ["ESX"]


def test_what_is_configured_is_learned_all_the_same() -> None:
    """So that a conflict can be shown."""
    services = Services(site_of(VC=SERVER))
    services.observe(login("vcloud", "bob"), SERVER, 443, CLIENT)
    assert services.of_server(SERVER, 443) == "VC"
    assert services.learned() == [Learned(SERVER, 443, "VCD", Strength.IMPLIED, 2)]


def test_who_is_asked_and_asks_hosts_is_a_vcenter() -> None:
    services = Services()
    services.observe(call("vim25", "group-d1"), SERVER, 443, CLIENT)
    assert services.is_service(SERVER) and services.of_client(SERVER) == ""
    services.observe(call("vim25", "ha-folder-vm"), HOST, 443, SERVER)
    services.observe(call("vim25", "ha-folder-vm"), HOST, 443, CLIENT)
    assert services.of_client(SERVER) == "VC"
    assert not services.is_service(CLIENT)
