"""Two captures of the same script, in clear and over TLS: what their records have in common.

They were taken one after the other, so times, ports and what clients and servers made up at random
differ; everything else must not.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.command import Record, comparable

# What TLS adds, and what names the flow.
_OF_THE_WIRE = {"tls", "visibility", "flow"}
# Hashes of what servers made up, and identifiers: of records, and in names of machines.
_RANDOM = re.compile(r"b2s:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def told(records: Iterable[Record]) -> Counter[str]:
    """The records as a multiset; what is random is named by when it first appears."""
    names: dict[str, str] = {}
    bare = [_bare(record, names) for record in records]
    return comparable(bare, times=False)


def _bare(record: Record, names: dict[str, str]) -> Record:
    kept = {key: _named(value, names) for key, value in record.items() if key not in _OF_THE_WIRE}
    for end in ("from", "to"):
        if end in kept:
            kept[end].pop("port", None)
    if "op" in kept:
        kept["op"].pop("id", None)  # clients count them up from when they started
    return kept


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _named(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if not isinstance(value, str):
        return value
    return _RANDOM.sub(lambda found: names.setdefault(found[0], f"#{len(names)}"), value)
