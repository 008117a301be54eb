"""Paths as a user gives them."""

import os


def same_file(one: str, other: str) -> bool:
    """Also under two names; a device, as /dev/null, is nothing that could be destroyed."""
    if os.path.isfile(one) and os.path.isfile(other):
        return os.path.samefile(one, other)
    return os.path.abspath(one) == os.path.abspath(other) and not os.path.exists(one)
