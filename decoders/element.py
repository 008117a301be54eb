"""A body read into a tree of local names, whether it came as XML or as JSON.

A tree holds what the peer sent, secrets too: it lives as long as one transaction is being decoded,
and its repr shows no text.
"""

from collections.abc import Iterator


class Element:
    """Names and attributes are local; a prefixed `type` attribute (xsi:type) is `xsi_type`."""

    __slots__ = ("attributes", "children", "name", "text", "xsi_type")

    def __init__(self, name: str = "", text: str = "", xsi_type: str = "") -> None:
        self.name = name
        self.text = text
        self.xsi_type = xsi_type
        self.attributes: dict[str, str] = {}
        self.children: list[Element] = []

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.children)} children>"

    def __bool__(self) -> bool:
        """False for what was not there."""
        return bool(self.name)

    def at(self, *path: str) -> "Element":
        """The first descendant on this path of names; an empty element when there is none."""
        here = self
        for name in path:
            for child in here.children:
                if child.name == name:
                    here = child
                    break
            else:
                return NOTHING
        return here

    def all(self, name: str) -> Iterator["Element"]:
        return (child for child in self.children if child.name == name)

    def value(self, *path: str) -> str:
        return self.at(*path).text.strip()

    def values(self, name: str) -> tuple[str, ...]:
        return tuple(text for child in self.all(name) if (text := child.text.strip()))

    def walk(self) -> Iterator["Element"]:
        """This element and all below, in document order."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)


NOTHING = Element()  # what is not there; nobody writes to it


def local_name(name: str) -> str:
    return name.rpartition(":")[2] if ":" in name else name
