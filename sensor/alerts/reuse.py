"""A request's id that is sent on by somebody who is not the service that made it."""

from collections.abc import Iterable
from typing import NamedTuple

from sensor.correlate.passed import Origin, Request
from sensor.services import Services


class Reuse(NamedTuple):
    stranger: Origin
    sides: tuple[Origin, ...]  # who sent the id, in the order of their time


def reuse(
    services: Services, server: str, request: Request, own: Origin, others: Iterable[Origin]
) -> Reuse | None:
    """`own` brought the id to the server now, `others` did before."""
    if _is_same_person(own, request.asker):
        return None  # he was given it
    for other in others:
        stranger = _stranger(services, own, other)
        if stranger is not None and not _is_same_person(other, request.asker):
            return Reuse(stranger, (other, own))
    maker = services.of_server(request.server, request.port)
    if _service(services, own) or not services.acts_otherwise(maker, (server, own.account)):
        return None
    return Reuse(own, (own,))


def _stranger(services: Services, own: Origin, other: Origin) -> Origin | None:
    """Whichever of both has no business with the request; None: both may be at work on it.

    The addresses of one service share an account; two services may share a request.
    """
    named = [_service(services, each) for each in (own, other)]
    if all(named) and (own.client == other.client or named[0] != named[1]):
        return None
    unknown = [each for each in (own, other) if not _service(services, each)]
    if own.account != other.account:
        return (*unknown, own)[0]
    if own.client == other.client:
        return None
    return next((each for each in unknown if services.site.excludes(each.client)), None)


def _service(services: Services, origin: Origin) -> str:
    return "" if origin.is_claimed else services.of_client(origin.client)


def _is_same_person(one: Origin, other: Origin) -> bool:
    """By address and name: realms differ from service to service."""
    return one.client == other.client and _name(one.account) == _name(other.account) != ""


def _name(account: str) -> str:
    """Of `bob@acme` and `ACME\\bob`: bob."""
    return account.rpartition("\\")[2].partition("@")[0].casefold()
