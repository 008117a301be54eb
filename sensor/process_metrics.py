"""What the process takes, under the names that every Prometheus client gives it.

Not by prometheus_client's own collector: that is silent where /proc holds processes only, as in
deploy/hoptap.service.
"""

import os
import resource
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sensor import families

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_RESIDENT_PAGES = 1  # of /proc/self/statm


class ProcessMetrics:
    def __init__(self) -> None:
        self._began_s = time.time()

    def collect(self) -> Iterator["Metric"]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield families.counter(
            "process_cpu_seconds_total",
            "User and system time of the processor spent.",
            (),
            [((), used.ru_utime + used.ru_stime)],
        )
        yield families.gauge("process_resident_memory_bytes", "Memory in RAM.", _resident_bytes())
        help_text = "When the process began to answer."
        yield families.gauge("process_start_time_seconds", help_text, self._began_s)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[_RESIDENT_PAGES])
    return pages * os.sysconf("SC_PAGE_SIZE")
