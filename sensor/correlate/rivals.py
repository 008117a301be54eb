"""Undecided actions that are alike, and so compete for the same causes."""

from bisect import bisect_left

from sensor.correlate.actions import Action, Actions
from sensor.correlate.guess import contest_key

RIVALS_MAX = 8  # that are weighed with an action, the nearest on either side


class Rivals:
    def __init__(self, actions: Actions) -> None:
        self._actions = actions
        self._waiting: dict[tuple[object, ...], list[int]] = {}
        self._keys: dict[int, tuple[object, ...]] = {}  # what an action acts on may yet change

    def add(self, action: Action) -> None:
        """It waits for what may be its cause."""
        if action.seq not in self._keys:
            key = self._keys[action.seq] = contest_key(action)
            self._waiting.setdefault(key, []).append(action.seq)

    def of(self, action: Action) -> list[Action]:
        """Those that it competes with, and itself, in the order of their time."""
        key = self._keys.get(action.seq) or contest_key(action)
        waiting = self._waiting.get(key, [])  # in order, but for what waits again
        at = bisect_left(waiting, action.seq)
        near = waiting[max(0, at - RIVALS_MAX // 2) : at + RIVALS_MAX // 2 + 1]
        known = (self._actions.get(seq) for seq in near)
        rivals = [each for each in known if each and not each.settled and each is not action]
        return sorted([*rivals, action], key=lambda each: (each.call.time_ns, each.seq))

    def leave(self, action: Action) -> None:
        """It is decided."""
        key = self._keys.pop(action.seq, None)
        if key is None:
            return
        waiting = self._waiting[key]
        waiting.remove(action.seq)
        if not waiting:
            del self._waiting[key]
