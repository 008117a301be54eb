"""What the site says of its services, and what `hoptap check` says of that."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from decoders.systems import SYSTEMS
from sensor.accounts import Account
from sensor.history import NEWS_MAX, Bounds, History, known
from sensor.learned import News
from sensor.service_checks import SHOWN, service_findings
from sensor.service_settings import ServiceSettings
from sensor.services import Learned, Services, Strength
from sensor.settings import Settings, SiteSettings
from sensor.site import Site
from tests.command import hoptap, write_config

SECOND = 10**9
NOW_NS = 1_763_730_000 * SECOND
VC = ServiceSettings("VC", ("10.0.0.5", "vc.example.org"))
HOSTS = ServiceSettings("ESX", ("10.0.0.0/24", "fd00::/64"))
VCD = ServiceSettings("VCD", ("10.0.0.7",), (443,), ("vCloudService",))
PORTAL = ServiceSettings("SHP", ("10.0.0.7",))
SITE = Site([HOSTS, VC, PORTAL, VCD])


@pytest.mark.parametrize(
    ("ip", "port", "service"),
    [
        ("10.0.0.5", 443, "VC"),  # an address before the network that holds it
        ("10.0.0.6", 443, "ESX"),
        ("fd00::1", 902, "ESX"),
        ("10.0.0.7", 443, "VCD"),  # who names the port before who does not
        ("10.0.0.7", 8443, "SHP"),
        ("10.0.1.1", 443, ""),
        ("unknown", 0, ""),
    ],
)
def test_which_service_answers(ip: str, port: int, service: str) -> None:
    assert SITE.at(ip, port) == service


def test_which_service_calls() -> None:
    assert [SITE.of(f"10.0.0.{last}") for last in (5, 6, 7)] == ["VC", "ESX", "VCD"]
    assert SITE.of("10.0.1.1") == Site().of("10.0.0.5") == Site().at("10.0.0.5", 443) == ""


def test_names_proxies_and_accounts() -> None:
    site = Site([VC, VCD, ServiceSettings("PXY", ("10.0.9.0/28",))])
    assert site.names == {"vc.example.org": "VC"}
    assert site.proxies == ("10.0.9.0/28",)
    assert site.of("10.0.9.1") == ""  # what it passes on is others'
    assert site.has_account("vCloudService") and not site.has_account("bob")
    assert site.homes("vCloudService") == {"VCD"}


def test_an_account_of_a_service_whose_address_is_not_said_has_no_home() -> None:
    again = ServiceSettings("VRA", accounts=("vCloudService",))
    assert Site([VCD, again]).homes("vCloudService") == frozenset()
    assert Site([again]).has_account("vCloudService")


def findings(*entries: ServiceSettings, learned: list[Learned] | None = None) -> list[str]:
    found = service_findings(Settings(service=entries), News(learned or ()))
    return [f"{each.level} {each.subject}: {each.text}" for each in found]


def test_what_is_configured() -> None:
    [first, *entries] = findings(VC, VCD, PORTAL, ServiceSettings("ESX"))
    assert first == f"ok services: 4 configured; hoptap reads {', '.join(SYSTEMS)}"
    assert entries == [
        "ok service VC: VMware vCenter: 10.0.0.5, vc.example.org",
        "ok service VCD: VMware Cloud Director: 10.0.0.7; port 443; acts as vCloudService",
        "ok service SHP: the site's own, without a decoder: 10.0.0.7",
        "note service ESX: VMware ESXi: address unknown; this entry says nothing",
    ]


def test_what_was_learned() -> None:
    said = Learned("10.0.0.5", 443, "VC", Strength.SAID, NOW_NS)
    hosts = [Learned(f"fd00::{n}", 902, "ESX", Strength.GUESSED, NOW_NS) for n in range(SHOWN + 2)]
    _, esx, vc = findings(learned=[said, *hosts])
    assert vc == "ok learned VC: 10.0.0.5:443 as it says; last seen 2025-11-21 13:00 UTC"
    assert esx.startswith("ok learned ESX: [fd00::0]:902 guessed, [fd00::1]:902 guessed, ")
    assert esx.endswith(", and 2 more; last seen 2025-11-21 13:00 UTC")


def test_conflicts() -> None:
    learned = [
        Learned("10.0.0.5", 443, "ESX", Strength.SAID, NOW_NS),
        Learned("10.0.0.7", 443, "PXY", Strength.IMPLIED, NOW_NS),
        Learned("10.0.0.7", 8443, "PVE", Strength.IMPLIED, NOW_NS),  # of that port nothing is said
        Learned("10.0.0.5", 80, "VCD", Strength.GUESSED, NOW_NS),  # a guess is no conflict
    ]
    other = ServiceSettings("VRA", ("10.0.0.7/32",), (443, 8444))
    found = [line for line in findings(VC, VCD, other, learned=learned) if "problem" in line]
    assert found == [
        "problem service VCD: 10.0.0.7, port 443, is both VCD and VRA in the configuration",
        "problem service VC: 10.0.0.5:443 is ESX, as it says; the configuration says VC",
        "problem service VCD: 10.0.0.7:443 passes on what others ask; the configuration says VCD",
    ]


def test_what_was_learned_is_kept_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    first = History(path)
    assert first.recalled() == News([], [], [])
    first.remember(News([Learned("10.0.0.5", 443, "VC", Strength.SAID, 1)]))
    later = [
        Learned("10.0.0.5", 443, "VC", Strength.SAID, 5),
        Learned("10.0.0.6", 0, "VC", Strength.GUESSED, 9),
    ]
    first.remember(News(later))
    first.tick()
    assert [each.seen_ns for each in known(path).addresses] == [9, 5]
    first.remember(News([Learned("10.0.0.6", 0, "VC", Strength.IMPLIED, 7)]))
    first.close()
    second = History(path)
    assert second.recalled().addresses == [
        Learned("10.0.0.6", 0, "VC", Strength.IMPLIED, 9),
        Learned("10.0.0.5", 443, "VC", Strength.SAID, 5),
    ]
    second.close()


def test_what_was_not_seen_for_long_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path, bounds=Bounds(keep_days=1), clock_ns=lambda: NOW_NS)
    said = [
        Learned("10.0.0.5", 443, "VC", Strength.SAID, NOW_NS - 23 * 3600 * SECOND),
        Learned("10.0.0.6", 443, "VC", Strength.SAID, NOW_NS - 25 * 3600 * SECOND),
    ]
    history.remember(News(said))
    history.close()
    assert [each.ip for each in known(path).addresses] == ["10.0.0.5"]


def test_the_command_reads_the_history(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    history.remember(News([Learned("10.0.0.5", 443, "ESX", Strength.SAID, NOW_NS)]))
    history.close()
    config = write_config(
        tmp_path,
        history={"enabled": True, "path": str(path)},
        service=[{"id": "VC", "addresses": ["10.0.0.5"]}],
    )
    done = hoptap("check", "-c", config, "-i", "lo", exit_code=1)
    assert "problem  service VC: 10.0.0.5:443 is ESX, as it says; the configuration says VC" in (
        done.stdout.splitlines()
    )


def test_what_is_no_service_stays_a_client() -> None:
    site = Site([VC], ["10.0.0.0/24", "fd00::1/128"])
    services = Services(site)
    for ip in ("10.0.0.5", "10.0.0.6", "fd00::1", "10.0.1.6"):
        services.learn(ip, 443, "VCD", Strength.SAID)
    assert [services.of_client(ip) for ip in ("10.0.0.5", "10.0.0.6", "fd00::1", "10.0.1.6")] == [
        "VC",  # an entry counts more
        "",
        "",
        "VCD",
    ]
    services.recall([Learned("10.0.0.7", 443, "VCD", Strength.SAID, 1)])
    assert services.of_server("10.0.0.7", 443) == "" and not services.is_service("10.0.0.7")


def test_what_cannot_be_written_for_long_is_given_up_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history = History(path)
    for number in range(NEWS_MAX + 3):
        history.remember(News([Learned(f"10.0.0.{number}", 443, "VC", Strength.SAID, NOW_NS)]))
    assert history.unwritten.value() == 3
    history.close()
    assert len(known(path).addresses) == NEWS_MAX


def test_check_says_what_no_services_forbids() -> None:
    host, jump = "10.0.9.66", Learned("10.0.9.67", 443, "VC", Strength.SAID, NOW_NS)
    settings = Settings(
        service=(ServiceSettings("VC", ("10.0.9.68",)),),
        sites=SiteSettings(no_services=("10.0.9.64/28",)),
    )
    learned = [Learned(host, 0, "VC", Strength.VOUCHED, NOW_NS), jump]
    learned.append(Learned("10.0.9.68", 443, "VC", Strength.SAID, NOW_NS))  # the entry counts
    account = Account("ESX", "svc", "VC", (host, "10.0.9.68"), ("VC:bob",), 4, NOW_NS)
    found = [
        f"{each.level} {each.subject}: {each.text}"
        for each in service_findings(settings, News(learned, [account]))
    ][2:]
    assert found == [
        "ok learned VC: 10.0.9.68:443 as it says; last seen 2025-11-21 13:00 UTC",
        "problem account svc: VC acts under it at ESX, from 10.0.9.66, 10.0.9.68: 4 calls for 1 "
        "people; sites.no_services says that 10.0.9.66 is no service",
        "note sites.no_services: 10.0.9.66 is VC, by its account and the request ids that it "
        "brings; sites.no_services says that it is none, so it is no more",
        "problem sites.no_services: 10.0.9.67:443 is VC, as it says; sites.no_services says that "
        "it is none, so it is no more",
    ]


def test_check_says_whose_cells_cannot_be_recognised() -> None:
    said = Learned("10.0.0.7", 443, "VCD", Strength.SAID, NOW_NS)
    account = Account("VC", "vCloudService", "VCD", ("10.0.0.7",), (), 1, NOW_NS)
    text = "note service VCD: no account is known under which it acts on other services"

    def is_noted(*entries: ServiceSettings, accounts: Sequence[Account] = ()) -> bool:
        settings = Settings(service=entries)
        found = service_findings(settings, News([said], list(accounts)))
        return any(f"{each.level} {each.subject}: {each.text}".startswith(text) for each in found)

    assert is_noted()
    assert is_noted(ServiceSettings("VCD", ("10.0.0.7",)))
    assert not is_noted(VCD) and not is_noted(accounts=[account])


def test_an_address_that_was_vouched_for_is_no_more_than_that_after_a_restart() -> None:
    cell, cloud, vcenter = "10.0.0.8", "10.0.0.7", "10.0.0.5"
    services = Services()
    known = [(cell, Strength.VOUCHED), (cloud, Strength.IMPLIED)]
    services.recall(Learned(ip, 0, "VCD", strength, NOW_NS) for ip, strength in known)
    for ip in (cell, cloud):
        services.acted(ip, vcenter, "vCloudService")
        assert services.of_client(cell) == "VCD"
    services.acted(cell, vcenter, "mallory")
    assert services.of_client(cell) == "" and services.of_client(cloud) == "VCD"
