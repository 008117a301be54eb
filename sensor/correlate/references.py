"""Tasks that a cloud has named before what started them was seen."""

from collections import OrderedDict

Task = tuple[str, str]  # address of the cloud, id of the task further down


class References:
    def __init__(self, references_max: int) -> None:
        self._references_max = references_max
        self._parents: OrderedDict[Task, int] = OrderedDict()  # the cloud's action
        self.shed = 0

    def keep(self, task: Task, parent: int) -> None:
        self._parents[task] = parent
        if len(self._parents) > self._references_max:
            self._parents.popitem(last=False)
            self.shed += 1

    def parent(self, task: Task) -> int:
        """Its sequence number; 0 if the task was not named."""
        return self._parents.get(task, 0)

    def drop(self, task: Task) -> None:
        del self._parents[task]
