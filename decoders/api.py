"""What an API over HTTP says of itself to the core: where its tokens stand."""

from typing import ClassVar

from decoders.message import Hasher


class Api:
    """Needs a `hasher` for every token and ticket. Keeps nothing between transactions."""

    name: str
    headers: ClassVar[tuple[str, ...]] = ()  # where tokens stand, in lower case
    cookies: ClassVar[tuple[str, ...]] = ()
    properties: ClassVar[tuple[str, ...]] = ()  # of managed objects, that tell their identity

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def token_headers(self) -> list[str]:
        return list(self.headers)

    def token_cookies(self) -> list[str]:
        return list(self.cookies)

    def object_properties(self) -> list[str]:
        return list(self.properties)
