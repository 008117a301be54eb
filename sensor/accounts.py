"""Accounts under which services act for others: learned from chains, to be shown and compared.

Nothing is decided by what is learned here; a [[service]] of the configuration decides.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from sensor.records import Record

ACCOUNTS_MAX = 4096
ADDRESSES_MAX = 8  # of one account
PEOPLE_MAX = 64  # heads of chains that are told apart


class Account(NamedTuple):
    """`caller` acts at `service` under the account of `user`."""

    service: str
    user: str
    caller: str
    addresses: tuple[str, ...]
    people: tuple[str, ...]  # heads of its chains, "VCD:bob@acme"; PEOPLE_MAX of them: or more
    calls: int
    seen_ns: int


class Accounts:
    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Account] = OrderedDict()
        self.shed = 0

    def __len__(self) -> int:
        return len(self._known)

    def note(self, record: Record) -> None:
        """An action that somebody above asked for, at a service that knows the caller's account."""
        chain, to, caller = record.chain, record.to, record.source
        if chain is None or record.amends or not to.user or not to.service:
            return
        if not caller.service or caller.service == to.service or chain.depth < 2:
            return
        key = (to.service, to.user)
        known = self._known.pop(key, None) or Account(*key, caller.service, (), (), 0, 0)
        head = chain.path.split(f":{to.service}:", 1)[0]
        self._known[key] = known._replace(
            caller=caller.service,
            addresses=_with(known.addresses, caller.ip, ADDRESSES_MAX),
            people=_with(known.people, head, PEOPLE_MAX) if "?" not in head else known.people,
            calls=known.calls + 1,
            seen_ns=max(known.seen_ns, record.ts),
        )
        if len(self._known) > ACCOUNTS_MAX:
            self._known.popitem(last=False)
            self.shed += 1

    def learned(self) -> list[Account]:
        return list(self._known.values())

    def recall(self, accounts: Sequence[Account]) -> None:
        """The latest first: they leave last."""
        for each in accounts[:ACCOUNTS_MAX][::-1]:
            plain = each._replace(addresses=tuple(each.addresses), people=tuple(each.people))
            self._known.setdefault((each.service, each.user), plain)


def _with(known: tuple[str, ...], new: str, most: int) -> tuple[str, ...]:
    return known if new in known or len(known) >= most else (*known, new)
