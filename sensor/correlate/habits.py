"""Which client passes on the id of what it was asked, learned from its calls.

Where a client does, a call of its whose id nobody asked with has a cause that was not seen.
"""

from collections import OrderedDict
from collections.abc import Iterable

from sensor.correlate.actions import Action, Cause

# From so many calls on a habit is believed, and while it holds for nine of ten.
CALLS_MIN = 16
HELD_TO_BROKEN = 9
CLIENTS_MAX = 4096


class Habits:
    def __init__(self) -> None:
        self._clients: OrderedDict[str, tuple[int, int]] = OrderedDict()  # held, broken
        self.shed = 0

    def learn(self, action: Action) -> None:
        """Did the id of a service's call lead to a parent?"""
        verdict = action.verdict
        if verdict is None or not action.asks or action.hard or action.given:
            return
        if verdict.cause is not Cause.NONE and not verdict.alone:
            self.note(action.client, verdict.cause is Cause.EXPLICIT)

    def note(self, client: str, held: bool) -> None:
        """A call with an id came from this client; was the id one that it had been asked with?"""
        kept, broken = self._clients.get(client, (0, 0))
        self._clients[client] = (kept + held, broken + (not held))
        if len(self._clients) > CLIENTS_MAX:
            self._clients.popitem(last=False)
            self.shed += 1

    def passes_ids(self, client: str) -> bool:
        kept, broken = self._clients.get(client, (0, 0))
        return kept >= CALLS_MIN and kept >= HELD_TO_BROKEN * broken

    def drops_ids(self, client: str) -> bool:
        kept, broken = self._clients.get(client, (0, 0))
        return broken >= CALLS_MIN and broken >= HELD_TO_BROKEN * kept

    def learned(self) -> list[tuple[str, int, int]]:
        """To be kept over a restart: client, calls that held the habit, calls that broke it."""
        return [(client, *counts) for client, counts in self._clients.items()]

    def recall(self, learned: Iterable[tuple[str, int, int]]) -> None:
        """Raises ValueError or TypeError when it is none of that."""
        clients: dict[str, tuple[int, int]] = {}
        for client, kept, broken in learned:
            if type(kept) is not int or type(broken) is not int or min(kept, broken) < 0:
                raise ValueError("calls are counted")
            clients[str(client)] = (kept, broken)
        self.shed += max(0, len(clients) - CLIENTS_MAX)
        for client, counts in list(clients.items())[:CLIENTS_MAX]:
            self._clients.setdefault(client, counts)
