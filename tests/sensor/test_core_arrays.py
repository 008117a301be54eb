"""Arrays with which the core would reach out of bounds are refused before it looks into them."""

from array import array
from typing import Any

import pytest

from sensor import _core

WEIGH: dict[str, Any] = {
    "from": array("i", [0, 2]),
    "parent": array("i", [0, -1]),
    "pair": array("i", [0, -1]),
    "kind": array("i", [0]),
    "base": array("d", [0.0, 0.0]),
    "nobody_log": array("d", [0.0]),
    "votes": array("d", [1.0]),
    "all": array("d", [1.0]),
    "among": array("d", [1.0]),
    "relation": array("B", [1]),
    "seen": array("d", [0.0, 0.0]),
    "out": array("d", [0.0, 0.0]),
}


def weigh(**changes: Any) -> None:
    arrays = tuple((WEIGH | changes).values())
    _core.causes_weigh(arrays[:6], arrays[6:10], arrays[10], arrays[11])


def test_arrays_that_fit() -> None:
    weigh()


@pytest.mark.parametrize(
    ("name", "items", "said"),
    [
        ("base", array("f", [0.0, 0.0]), "array 4: items of 4 bytes, not 8"),
        ("base", array("d", [0.0]), "array 4: 1 items, not 2"),
        ("votes", array("d"), "array 7: 1 items, not 0"),
        ("relation", array("B"), "array 9: 0 items, not 1"),
        ("seen", array("d", [0.0]), "array 10: 1 items, not 2"),
        ("out", array("d", [0.0]), "array 11: 1 items, not 2"),
        ("from", array("i", [0]), "array 0: 1 items, not 2"),
        ("from", array("i", [1, 2]), "options out of order"),
        ("from", array("i", [0, 3]), "options out of order"),
        ("pair", array("i", [0, 1]), "array 2: item 1 is out of range"),
        ("pair", array("i", [-2, 0]), "array 2: item 0 is out of range"),
        ("kind", array("i", [1]), "array 3: item 0 is out of range"),
    ],
)
def test_arrays_that_do_not(name: str, items: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        weigh(**{name: items})


def test_a_child_without_options() -> None:
    with pytest.raises(ValueError, match="options out of order"):
        weigh(**{"from": array("i", [0, 0, 2]), "kind": array("i", [0, 0])})


def test_what_is_no_array_or_not_to_be_written_to() -> None:
    with pytest.raises(BufferError):
        weigh(out=bytes(16))
    with pytest.raises(TypeError, match="a tuple of 6 arrays"):
        _core.causes_weigh((), (), None, WEIGH["out"])  # type: ignore[arg-type]
