"""Who was seen to act where, and under which accounts."""

from collections import OrderedDict
from collections.abc import Collection
from typing import TypeVar

CLIENTS_MAX = 16  # kept of one account; a service that uses one has a few addresses
ACCOUNTS_MAX = 16  # kept of one client
USERS_MAX = 256  # kept of one server

Account = tuple[str, str]  # server, user
K = TypeVar("K")
V = TypeVar("V")


class Callers:
    def __init__(self, addresses_max: int) -> None:
        self._addresses_max = addresses_max
        self._clients: OrderedDict[Account, OrderedDict[str, None]] = OrderedDict()
        self._accounts: OrderedDict[str, OrderedDict[Account, None]] = OrderedDict()
        self._at: OrderedDict[str, OrderedDict[Account, None]] = OrderedDict()  # by server
        self.shed = 0

    def note(self, client: str, account: Account) -> None:
        """The client acted under the account."""
        self._put(self._accounts, client, account, ACCOUNTS_MAX)
        self._put(self._clients, account, client, CLIENTS_MAX)
        self._put(self._at, account[0], account, USERS_MAX)

    def clients(self, account: Account) -> Collection[str]:
        return self._clients.get(account, ())

    def accounts(self, client: str) -> Collection[Account]:
        return self._accounts.get(client, ())

    def at(self, server: str) -> Collection[Account]:
        return self._at.get(server, ())

    def _put(
        self, table: OrderedDict[K, OrderedDict[V, None]], key: K, value: V, values_max: int
    ) -> None:
        values = table.setdefault(key, OrderedDict())
        values[value] = None
        for each, most in ((values, values_max), (table, self._addresses_max)):
            if len(each) > most:
                each.popitem(last=False)
                self.shed += 1
