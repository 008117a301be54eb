"""How a setting is declared: a dataclass field with its reason and what its value must satisfy."""

from collections.abc import Callable
from dataclasses import field
from typing import Any

Check = Callable[[Any], str]  # a value -> what is wrong with it, or ""


def setting(
    default: Any,
    reason: str,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    check: Check | None = None,
) -> Any:
    """A field with its default, the reason of it, and what a configured value must satisfy."""
    metadata = {"reason": reason, "low": low, "high": high, "choices": choices, "check": check}
    return field(default=default, metadata=metadata)
