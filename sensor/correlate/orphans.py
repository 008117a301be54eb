"""Actions whose parent may yet be seen, by the ids that it would have."""

from collections import OrderedDict
from collections.abc import Sequence

from sensor.correlate.actions import Action
from sensor.correlate.keys import is_background, parent_ids

ORPHANS_MAX = 64  # actions that wait for a parent under one id


class Orphans:
    def __init__(self, ids_max: int) -> None:
        self._ids_max = ids_max
        self._waiting: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self.shed = 0
        self.actions_shed = 0  # of one id

    def watch(self, action: Action) -> None:
        """Remember by which ids a parent would be known, should it come late."""
        for asked in action.asks:
            for key in parent_ids(asked) if not is_background(asked) else ():
                orphans = self._waiting.get(key, ())
                if action.seq not in orphans:
                    self.actions_shed += len(orphans) >= ORPHANS_MAX
                    self._waiting[key] = (*orphans, action.seq)[-ORPHANS_MAX:]
        while len(self._waiting) > self._ids_max:
            self._waiting.popitem(last=False)
            self.shed += 1

    def waiting(self, identity: str) -> Sequence[int]:
        """Those that would take whoever has this id for their parent."""
        return self._waiting.get(identity, ())
