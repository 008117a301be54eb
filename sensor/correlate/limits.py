"""How long the correlator waits, and how much it keeps."""

from dataclasses import dataclass

SECOND = 10**9


@dataclass(frozen=True, slots=True)
class Limits:
    hold_ns: int = 2 * SECOND  # allowed lateness: what is not decided by keys is decided then
    provisional_ns: int = SECOND // 5  # what is certain enough is said then; 0: never
    horizon_ns: int = 900 * SECOND  # how long an action may still be amended, or be a parent
    task_horizon_ns: int = 24 * 3600 * SECOND  # the same while its task is open
    actions_max: int = 100_000  # about 3 kB each
    waiting_ids_max: int = 100_000
    task_references_max: int = 10_000
