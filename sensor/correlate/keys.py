"""Operation ids: which id may stand for the parent of which.

A service that passes work on keeps the id it was given, or appends "-" and a hop of its own
(PROTOCOLS section 8.2), so a parent's id is the child's, or a prefix of it that ends at a "-".
"""

import re
from collections.abc import Iterator

# Roots that a service makes for work of its own.
_BACKGROUND = re.compile(
    r"HB-|WFU-|PollQuickStats|TaskLoop|CheckforMissingHeartbeats|[A-Za-z_]\w*\.cpp:"
)

# `<root>[-<hop>]*` has a handful of hops; a client's own id may have dashes too. Longer is noise.
PREFIXES_MAX = 24


def is_background(operation_id: str) -> bool:
    """Does the id name background work of a service, which no user asked for?"""
    return _BACKGROUND.match(operation_id) is not None


def parent_ids(operation_id: str) -> Iterator[str]:
    """Ids that a parent may have, the most telling first: the id, then ever shorter prefixes."""
    for _ in range(PREFIXES_MAX):
        if not operation_id:
            return
        yield operation_id
        operation_id = operation_id[: max(0, operation_id.rfind("-"))]
