"""Text made fit for a dialect: cut between characters, nothing that a parser could stumble over.

Sizes are cut before anything is escaped, so that no escape sequence is split.
"""

import re
from typing import Any

KEYWORD_MAX = 1024  # Elasticsearch indexes no longer keyword: `ignore_above` in the ECS schema

_SURROGATE = re.compile("[\ud800-\udfff]")
_VISIBLE = {
    code: f"\\x{code:02x}"
    for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))
    if chr(code) not in "\r\n"
}
_VISIBLE |= {0x2028: "\\u2028", 0x2029: "\\u2029"}  # where some readers end a line
_SPACES = dict.fromkeys((*range(0x20), 0x7F, *range(0x80, 0xA0), 0x2028, 0x2029), " ")


def encodable(text: str) -> str:
    """A lone surrogate, which is no character of UTF-8, as a replacement character and its number.

    No backslash: in a path one means something.
    """
    return text if text.isascii() else _SURROGATE.sub(_replaced, text)


def _replaced(found: re.Match[str]) -> str:
    return f"\ufffd{ord(found[0]):04x}"


def encodable_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree, or a copy where a text of it, or a key, cannot be encoded."""
    if "\\ud" not in repr(tree):  # as a surrogate is shown; looking for one leaf by leaf costs more
        return tree
    copied: dict[str, Any] = _copied(tree)
    return copied


def _copied(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(name): _copied(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value


def cut(text: str, units_max: int = KEYWORD_MAX) -> str:
    """Its start, of so many UTF-16 units at most: what Java calls the length of a string."""
    if 2 * len(text) <= units_max or (len(text) <= units_max and text.isascii()):
        return text
    units = 0
    for at, character in enumerate(text):
        units += 2 if character > "\uffff" else 1
        if units > units_max:
            return text[:at]
    return text


def cut_bytes(text: str, bytes_max: int) -> str:
    """The start of an encodable text, of so many bytes of UTF-8 at most."""
    if 4 * len(text) <= bytes_max:
        return text
    return text.encode()[:bytes_max].decode("utf-8", "ignore")


def cut_path(path: str, units_max: int = KEYWORD_MAX) -> str:
    """The start of a path, which ends in no half of an escaped character."""
    start = cut(path, units_max)
    if len(start) == len(path):
        return path
    backslashes = len(start) - len(start.rstrip("\\"))
    return start[:-1] if backslashes % 2 else start


def visible(text: str) -> str:
    r"""Control characters as \xNN; line ends stay, since dialects have words of their own."""
    return text if text.isprintable() else text.translate(_VISIBLE)


def spaced(text: str) -> str:
    """A space for each control character and line end, for dialects that know no escape."""
    return text if text.isprintable() else text.translate(_SPACES)
