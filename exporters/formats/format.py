"""What a format is: a name, and a function from a record to a document or a line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exporters.transport import Tree

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """`render` gives a document (to be written as JSON or msgpack), or text of one line.

    It is pure: the same record gives the same output, and no clock or host name enters it.
    """

    name: str  # as in the configuration
    render: Callable[[Tree], Document | str]
    is_text: bool = False  # render gives a line, without its newline
    bytes_max: int = 0  # of a line; 0: no bound of its own
    preamble: str = ""  # whole lines at the head of a file, as Zeek has them
