"""Which address is which service, and which a proxy."""

import pytest

from decoders.message import Call, Login, LoginMethod, OperationClass, Outcome, ServerSeen, Target
from sensor.services import Services, Strength

SERVER, CLIENT, PROXY, HOST = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


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
    services = Services({CLIENT: "VRA"})
    services.observe(call("vim25", "ha-folder-vm"), SERVER, 443, "10.0.0.9")
    services.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), SERVER, 443, "10.0.0.9")
    services.observe(call("vim25", "ha-folder-vm"), SERVER, 443, "10.0.0.9")
    assert services.of_server(SERVER, 443) == "VC"
    services.observe(ServerSeen(service="VC", time_ns=1, end_ns=2), CLIENT, 443, "10.0.0.9")
    assert services.of_client(CLIENT) == "VRA"


def test_an_address_is_configured_however_it_is_written() -> None:
    assert Services({"2001:DB8:0::1": "VCD"}).of_client("2001:db8::1") == "VCD"


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
    assert services.claimed_client(CLIENT, "10.9.9.9") == ""
    assert services.claimed_client(CLIENT, "10.9.9.9") == ""
    assert not services.is_proxy(CLIENT)


def test_an_address_that_speaks_for_several_is_a_proxy() -> None:
    services = Services()
    assert services.claimed_client(PROXY, "10.9.9.1") == ""
    assert services.claimed_client(PROXY, "10.9.9.2") == "10.9.9.2"
    assert services.claimed_client(PROXY, "10.9.9.1") == "10.9.9.1"
    assert services.is_proxy(PROXY)


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
        services.vouch(f"10.4.0.{number}", "VCD", "bob")
    assert len(services) == 10
    assert services.shed > 300


def test_who_is_asked_and_asks_hosts_is_a_vcenter() -> None:
    services = Services()
    services.observe(call("vim25", "group-d1"), SERVER, 443, CLIENT)
    assert services.is_service(SERVER) and services.of_client(SERVER) == ""
    services.observe(call("vim25", "ha-folder-vm"), HOST, 443, SERVER)
    services.observe(call("vim25", "ha-folder-vm"), HOST, 443, CLIENT)
    assert services.of_client(SERVER) == "VC"
    assert not services.is_service(CLIENT)
