"""`hoptap correlate`: calls that somebody wrote down, to the parents that they have."""

import logging

from sensor.correlate.soft import partition
from sensor.correlate.spans import read_inventory, read_spans, write_assignments
from sensor.exits import Exit, InputError, UsageError
from sensor.paths import same_file

log = logging.getLogger(__name__)


def correlate(spans_path: str, inventory_path: str, out_path: str, workers: int) -> Exit:
    for path in filter(None, (spans_path, inventory_path)):
        if path != "-" and same_file(path, out_path):
            raise UsageError(f"{path} is to be read: writing there would destroy it")
    links = read_inventory(inventory_path) if inventory_path else []
    spans = read_spans(spans_path)
    if not spans:
        raise InputError(f"{spans_path}: empty, no call in it")
    assigned = partition.result(spans, links, workers).assignments
    write_assignments(out_path, assigned)
    found = sum(each.parent is not None for each in assigned)
    log.info("%s calls, of %s a parent was found", f"{len(spans):,}", f"{found:,}")
    return Exit.OK
