"""What a changing call of an ordinary REST API does: words of the path, the verb, the object.

Such APIs differ in where the verb stands and in what they call their objects; each decoder says so
in tables, and the rules stand here.
"""

import re
from collections.abc import Mapping
from itertools import pairwise

from decoders.element import Element
from decoders.http import printable
from decoders.message import OperationClass, Target

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
BY_METHOD = {
    "POST": ("create", OperationClass.CREATE),
    "PUT": ("update", OperationClass.UPDATE),
    "PATCH": ("update", OperationClass.UPDATE),
    "DELETE": ("delete", OperationClass.DELETE),
}
# Anywhere in a verb, in lower case without its separators; the first that fits.
_BY_VERB: tuple[tuple[re.Pattern[str], OperationClass], ...] = (
    (re.compile("console|vnc|spice|rdp|serial|mks"), OperationClass.CONSOLE),
    (
        re.compile("power|start|stop|reboot|reset|suspend|resume|shutdown|pause|shelve"),
        OperationClass.POWER,
    ),
    (re.compile("delete|destroy|remove|terminate|undefine"), OperationClass.DELETE),
    (re.compile("create|clone|import|restore|rebuild|define"), OperationClass.CREATE),
)
_IDENTIFIER = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|\d+|.*[:%@!].*",
    re.IGNORECASE,
)


def is_identifier(segment: str) -> bool:
    return _IDENTIFIER.fullmatch(segment) is not None


def words_of(segments: list[str]) -> list[str]:
    """Segments that are no identifiers: what the path is about."""
    return [segment for segment in segments if not is_identifier(segment)]


def object_of(segments: list[str], types: Mapping[str, str]) -> Target:
    """The last identifier after a word that `types` knows, else the first after any word."""
    target = Target()
    for word, identifier in pairwise(segments):
        if is_identifier(word) or not is_identifier(identifier):
            continue
        if word in types or not target.id:
            target = Target(types.get(word, word), printable(identifier))
    return target


def class_of(verb: str, method: str = "") -> OperationClass:
    """By what the verb says; one that says nothing is judged by the method, or is an update."""
    name = re.sub(r"[^a-z0-9]", "", verb.lower())
    for pattern, kind in _BY_VERB:
        if pattern.search(name):
            return kind
    return BY_METHOD[method][1] if method and method != "POST" else OperationClass.UPDATE


def named(asked: Element, label: str, made: str = "") -> tuple[Target, ...]:
    """The object that a body names, with the id that the answer gives it."""
    name = asked.value("name")
    return (Target(label, printable(made), printable(name)),) if name or made else ()
