"""Ids that services made for requests, and who passed each on to which server.

Whoever has read such an id can send it: the service that made it is not the only one who may.
"""

from collections import OrderedDict
from typing import NamedTuple, TypeVar

from sensor.correlate.actions import Action
from sensor.correlate.keys import parent_ids

ORIGINS_MAX = 8  # of one id at one server; a service has a few addresses and accounts there

K = TypeVar("K")
V = TypeVar("V")


class Origin(NamedTuple):
    """Who sent an id: from where, and under which account; "" if that is unknown."""

    client: str
    account: str
    is_claimed: bool = False  # the address is what a header says


class Request(NamedTuple):
    """What an id was made for."""

    server: str  # whose id it is
    port: int
    asker: Origin


class PassedIds:
    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._requests: OrderedDict[str, Request] = OrderedDict()  # by id
        self._origins: OrderedDict[tuple[str, str], list[Origin]] = OrderedDict()  # (server, id)
        self.shed = 0

    def made(self, action: Action) -> None:
        """The server gave this request an id of its own making."""
        identity = action.call.request_id
        if identity and identity not in self._requests:
            asker = origin_of(action)
            self._requests[identity] = Request(action.server, action.server_port, asker)
            self._bound(self._requests)

    def carried(self, action: Action) -> tuple[str, Request] | None:
        """The id that another server made and that the action's own is, or begins with."""
        for asked in action.asks:
            for key in parent_ids(asked):
                request = self._requests.get(key)
                if request is not None and request.server != action.server:
                    return key, request
        return None

    def note(self, action: Action, identity: str) -> list[Origin]:
        """The action brought the id to its server; who else did so before."""
        origins = self._origins.setdefault((action.server, identity), [])
        self._bound(self._origins)
        own = origin_of(action)
        others = [each for each in origins if each != own]
        if len(others) == len(origins):
            origins.append(own)
            self.shed += len(origins) > ORIGINS_MAX
            del origins[ORIGINS_MAX:]
        return others

    def others(self, action: Action, identity: str) -> list[Origin]:
        """Who brought the id to the action's server from another address."""
        origins, own = self._origins.get((action.server, identity), ()), origin_of(action)
        return [each for each in origins if each._replace(account=own.account) != own]

    def _bound(self, table: OrderedDict[K, V]) -> None:
        if len(table) > self._ids_max:
            table.popitem(last=False)
            self.shed += 1


def origin_of(action: Action) -> Origin:
    return Origin(action.client, action.account, action.is_claimed)
