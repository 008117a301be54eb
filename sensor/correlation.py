"""`hoptap correlate`: calls that somebody wrote down, to the parents that they have."""

from sensor.correlate.soft import partition
from sensor.correlate.spans import read_inventory, read_spans, write_assignments
from sensor.exits import Exit


def correlate(spans_path: str, inventory_path: str, out_path: str, workers: int) -> Exit:
    links = read_inventory(inventory_path) if inventory_path else []
    write_assignments(out_path, partition.assign(read_spans(spans_path), links, workers))
    return Exit.OK
