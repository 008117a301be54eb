"""`hoptap check` of services: what the site says of them, what was learned, where both differ."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from decoders.systems import SYSTEMS
from sensor.accounts import PEOPLE_MAX, Account
from sensor.correlate.inventory import Known
from sensor.finding import Finding, Level
from sensor.learned import News
from sensor.service_settings import ServiceSettings
from sensor.services import Learned, Strength
from sensor.settings import Settings
from sensor.site import PROXY, Place, Site

SHOWN = 8  # addresses of one service in a line
# That give each request an id, and pass it on: decoders/message.py, Call.request_id.
MAKERS = frozenset({"KEY", "VCD", "VRA"})
_HOW = {
    Strength.VOUCHED: "by its account and the request ids that it brings",
    Strength.GUESSED: "guessed",
    Strength.IMPLIED: "by its protocol",
    Strength.SAID: "as it says",
}


def service_findings(settings: Settings, news: News) -> Iterator[Finding]:
    """`news`: what earlier runs learned, the latest first."""
    learned = news.addresses
    entries, site = settings.service, Site(settings.service, settings.sites.no_services)
    known = ", ".join(SYSTEMS)
    text = f"{len(entries)} configured" if entries else "none configured: known by what they answer"
    yield Finding(Level.OK, "services", f"{text}; hoptap reads {known}")
    if news.unread:
        text = f"{news.unread:,} damaged rows in the history are left out"
        yield Finding(Level.PROBLEM, "learned", text)
    yield from (_configured(entry) for entry in entries)
    yield from _learned([each for each in learned if not site.excludes(each.ip)])
    yield from _unplaced(learned, news.accounts, site)
    yield from _accounts(news.accounts, site)
    yield from _inventory(news.objects)
    for one, other in site.overlaps():
        text = f"{_place(one)} is both {one.service} and {other.service} in the configuration"
        yield Finding(Level.PROBLEM, f"service {one.service}", text)
    yield from _contradicted(site, learned)
    yield from _excluded(site, learned)


def _configured(entry: ServiceSettings) -> Finding:
    system = SYSTEMS.get(entry.id)
    product = system.product if system is not None else "the site's own, without a decoder"
    parts = [f"{product}: {', '.join(entry.addresses) or 'address unknown'}"]
    if entry.ports:
        parts.append(f"port {', '.join(map(str, entry.ports))}")
    if entry.accounts:
        parts.append(f"acts as {', '.join(entry.accounts)}")
    subject = f"service {entry.id}"
    if not entry.addresses and not entry.accounts:
        return Finding(Level.NOTE, subject, f"{'; '.join(parts)}; this entry says nothing")
    return Finding(Level.OK, subject, "; ".join(parts))


def _learned(learned: Sequence[Learned]) -> Iterator[Finding]:
    """A line for each service."""
    by_service: dict[str, list[Learned]] = {}
    for each in learned:
        by_service.setdefault(each.service, []).append(each)
    for service, found in sorted(by_service.items()):
        said = [f"{_address(each)} {_HOW[Strength(each.strength)]}" for each in found[:SHOWN]]
        if len(found) > SHOWN:
            said.append(f"and {len(found) - SHOWN} more")
        last = datetime.fromtimestamp(found[0].seen_ns / 10**9, UTC)
        text = f"{', '.join(said)}; last seen {last:%Y-%m-%d %H:%M} UTC"
        yield Finding(Level.OK, f"learned {service}", text)


def _accounts(accounts: Sequence[Account], site: Site) -> Iterator[Finding]:
    for each in sorted(accounts, key=lambda account: -account.calls)[:SHOWN]:
        people = f"{len(each.people)}{' or more' if len(each.people) >= PEOPLE_MAX else ''}"
        text = (
            f"{each.caller} acts under it at {each.service}, from {', '.join(each.addresses)}: "
            f"{each.calls:,} calls for {people} people"
        )
        homes, strange = site.homes(each.user), [*filter(site.excludes, each.addresses)]
        if strange:
            text += f"; sites.no_services says that {' and '.join(strange)} is no service"
            yield Finding(Level.PROBLEM, f"account {each.user}", text)
        elif homes and each.caller not in homes:
            text += f"; the configuration says that it is {' and '.join(sorted(homes))}'s"
            yield Finding(Level.PROBLEM, f"account {each.user}", text)
        else:
            yield Finding(Level.OK, f"learned account {each.user}", text)


def _inventory(objects: Sequence[Known]) -> Iterator[Finding]:
    """A line: objects by type, at how many services."""
    if not objects:
        return
    types = Counter(each.type or "untyped" for each in objects)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in types.most_common(SHOWN))
    joined = sum(bool(each.peers or each.uuid or each.instance_uuid) for each in objects)
    hosts = len({each.host for each in objects})
    text = f"{kinds} at {hosts:,} services; {joined:,} of them known at others, or by a UUID"
    yield Finding(Level.OK, "learned inventory", text)


def _unplaced(
    learned: Sequence[Learned], accounts: Sequence[Account], site: Site
) -> Iterator[Finding]:
    """Services that make ids for requests, and whose account below is not known."""
    callers = {each.caller for each in accounts}
    known = {each.service for each in learned if not site.excludes(each.ip)}
    for service in sorted((known | site.services) & MAKERS - callers - site.with_accounts):
        text = (
            "no account is known under which it acts on other services: further addresses of it, as"
            " cells behind a load balancer, are not recognised by the request ids that they bring;"
            " a [[service]] may say its addresses and accounts"
        )
        yield Finding(Level.NOTE, f"service {service}", text)


def _excluded(site: Site, learned: Sequence[Learned]) -> Iterator[Finding]:
    """What earlier runs took for a service, where the site says that none is."""
    for each in learned:
        if not site.excludes(each.ip) or each.service == PROXY:
            continue
        is_guess = each.strength < Strength.IMPLIED
        how = f"{_address(each)} is {each.service}, {_HOW[Strength(each.strength)]}"
        text = f"{how}; sites.no_services says that it is none, so it is no more"
        yield Finding(Level.NOTE if is_guess else Level.PROBLEM, "sites.no_services", text)


def _contradicted(site: Site, learned: Sequence[Learned]) -> Iterator[Finding]:
    """Where what was seen is no guess and not what is configured."""
    for each in learned:
        said = site.at(each.ip, each.port) if each.port else site.of(each.ip)
        if not said or said == each.service or each.strength < Strength.IMPLIED:
            continue
        shows = (
            "passes on what others ask"
            if each.service == PROXY
            else f"is {each.service}, {_HOW[Strength(each.strength)]}"
        )
        text = f"{_address(each)} {shows}; the configuration says {said}"
        yield Finding(Level.PROBLEM, f"service {said}", text)


def _address(each: Learned) -> str:
    host = f"[{each.ip}]" if ":" in each.ip and each.port else each.ip
    return f"{host}:{each.port}" if each.port else each.ip


def _place(place: Place) -> str:
    network = place.network
    text = str(network.network_address if network.num_addresses == 1 else network)
    return f"{text}, port {', '.join(map(str, place.ports))}," if place.ports else text
