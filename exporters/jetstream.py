"""Records to a subject of NATS JetStream, by nats-py (extra `nats`), each acknowledged by a stream.

The record's id is the message's: what is sent twice within the stream's duplicate window is stored
once. Streams are the operator's: none is made or changed here.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from exporters.endpoint import Endpoint, TlsFiles, failure, tls_context
from exporters.formats.format import Format
from exporters.outbox import SinkError
from exporters.payload import one_line, payload_of
from exporters.transport import Refused, Tree

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext

SUBJECT = "hoptap.hop"
MSG_ID = "Nats-Msg-Id"
WINDOW = 256  # messages on the way at once
HEADER_BYTES = 256  # ours are some 60; a server counts them into its largest payload
CLOSE_S = 1.0
CONNECT_STEPS = 4  # TCP, INFO, TLS, CONNECT: each may take the time to connect

Result = TypeVar("Result")


class _Gone(SinkError):
    """The connection ended, whatever the reason."""


class JetStream:
    """One server or cluster. The event loop runs only while a method of this class does."""

    acknowledges = True

    def __init__(
        self,
        endpoint: Endpoint,
        format: Format,
        *,
        subject: str = SUBJECT,
        username: str = "",
        password: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._where = f"nats {endpoint}"
        self._format = format
        self._subject = subject
        self._username = username
        self._password = password
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: Client | None = None
        self._stream: JetStreamContext | None = None
        self._closed = asyncio.Event()
        self._trouble: Exception | None = None  # what the library met last

    def send(self, records: Sequence[Tree]) -> Sequence[Refused]:
        payloads = [payload_of(self._format, record) for record in records]
        ids = [str(record.get("id", "")) for record in records]
        kept = self._client is not None
        try:
            return self._run(self._send(payloads, ids))
        except _Gone as error:
            # Closed while idle, as a server does whose pings nobody answered meanwhile.
            if not kept or error.written:
                raise
            return self._run(self._send(payloads, ids))

    def probe(self) -> str:
        return self._run(self._probe())

    def close(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self._disconnect())
            self._loop.close()
            self._loop = None

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(work)

    async def _send(self, payloads: Sequence[bytes], ids: Sequence[str]) -> list[Refused]:
        client, stream = await self._connected()
        refused: list[Refused] = []
        for first in range(0, len(payloads), WINDOW):
            chosen = range(first, min(first + WINDOW, len(payloads)))
            fits = [len(payloads[number]) <= client.max_payload - HEADER_BYTES for number in chosen]
            most = f"larger than the {client.max_payload} bytes that the server takes"
            refused += [
                Refused(number, most) for number, fit in zip(chosen, fits, strict=True) if not fit
            ]
            published = [number for number, fit in zip(chosen, fits, strict=True) if fit]
            tasks = [
                asyncio.create_task(self._publish(stream, payloads[number], ids[number]))
                for number in published
            ]
            failures = await self._outcomes(tasks)
            if error := next(filter(None, failures), None):
                await self._disconnect()
                error.written = _before(refused, published, failures)
                raise error
        return refused

    async def _publish(self, stream: "JetStreamContext", payload: bytes, identity: str) -> None:
        headers = {MSG_ID: identity} if identity else None
        await stream.publish(
            self._subject, payload, timeout=self._endpoint.ack_timeout_s, headers=headers
        )

    async def _outcomes(self, tasks: Sequence["asyncio.Task[None]"]) -> list[SinkError | None]:
        """Why each was not stored, or None. A closed connection ends the waiting at once."""
        stored = asyncio.gather(*tasks, return_exceptions=True)
        closed = asyncio.create_task(self._closed.wait())
        either: set[asyncio.Future[Any]] = {stored, closed}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        for task in (closed, *tasks):
            task.cancel()  # which those that are done do not notice
        results = await stored
        return [None if result is None else self._error(result) for result in results]

    async def _probe(self) -> str:
        """Ask which stream listens; the question needs no record."""
        from nats.js.errors import NotFoundError

        client, _ = await self._connected()
        where = f"{self._where}: NATS {client.connected_server_version}"
        asking = client.jetstream(timeout=self._endpoint.connect_timeout_s)
        try:
            name = await asking.find_stream_name_by_subject(self._subject)
        except NotFoundError:
            raise self._error_of_no_stream() from None
        except TimeoutError:  # as a user who may publish and no more
            return f"{where}, does not tell which stream listens"
        except Exception as error:
            await self._disconnect()
            raise self._error(error) from None
        return f"{where}, stream {name}"

    async def _connected(self) -> tuple["Client", "JetStreamContext"]:
        await asyncio.sleep(0)  # lets the library notice what happened while the loop stood still
        if self._client is not None and not self._client.is_connected:
            await self._disconnect()
        if self._client is None or self._stream is None:
            self._client = await self._connect()
            self._stream = self._client.jetstream(timeout=self._endpoint.ack_timeout_s)
        return self._client, self._stream

    async def _connect(self) -> "Client":
        try:
            from nats.aio.client import Client
        except ImportError:
            line = "the NATS client is not installed: pip install 'hoptap[nats]'"
            raise SinkError(line, final=True) from None
        self._trouble = None
        self._closed = asyncio.Event()
        client = Client()
        options: dict[str, Any] = {}
        if self._endpoint.tls is not None:
            options["tls"] = self._tls_context(self._endpoint.tls)
            options["tls_hostname"] = self._endpoint.tls.name or self._endpoint.host
        if self._username:
            options["user"] = lambda: self._given_to(client, self._username)
            options["password"] = lambda: self._given_to(client, self._password)
        try:
            connecting = client.connect(
                f"nats://{self._endpoint}",
                name="hoptap",
                # Whoever sends decides when to try again; one more attempt is the library's least.
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, round(self._endpoint.connect_timeout_s)),
                error_cb=self._note_trouble,
                closed_cb=self._note_closed,
                **options,
            )
            await asyncio.wait_for(connecting, CONNECT_STEPS * self._endpoint.connect_timeout_s)
            self._given_to(client, "")
        except Exception as error:
            await _closed(client)
            raise self._error(error) from None
        return client

    def _given_to(self, client: "Client", secret: str) -> str:
        """The library goes on in plain text where a server offers no TLS: we do not."""
        if self._endpoint.tls is not None and not client._server_info.get("tls_required"):
            raise SinkError(f"{self._where}: the server offers no TLS", final=True)
        return secret

    def _tls_context(self, files: TlsFiles) -> ssl.SSLContext:
        try:
            return tls_context(files)
        except SinkError as error:
            raise SinkError(f"{self._where}: {error}", final=True) from None

    async def _note_trouble(self, error: Exception) -> None:
        self._trouble = error

    async def _note_closed(self) -> None:
        self._closed.set()

    async def _disconnect(self) -> None:
        client, self._client, self._stream = self._client, None, None
        if client is not None:
            await _closed(client)

    def _error_of_no_stream(self) -> SinkError:
        line = f"no stream listens on subject {self._subject}; create one there"
        return SinkError(f"{self._where}: {line}", final=True)

    def _error(self, error: BaseException) -> SinkError:
        """What nats-py raised, as one line."""
        import nats.errors
        from nats.js.errors import APIError, NoStreamResponseError

        gone = (asyncio.CancelledError, nats.errors.ConnectionClosedError)
        if isinstance(error, (*gone, nats.errors.NoServersError)) and self._trouble is not None:
            error = self._trouble
        if isinstance(error, SinkError):
            return error
        if isinstance(error, NoStreamResponseError):
            return self._error_of_no_stream()
        if isinstance(error, (*gone, nats.errors.UnexpectedEOF)):
            return _Gone(f"{self._where}: the receiver closed the connection")
        if isinstance(error, TimeoutError | asyncio.TimeoutError):
            line = f"no acknowledgement in {self._endpoint.ack_timeout_s:g} s"
            return SinkError(f"{self._where}: {line}")
        if isinstance(error, APIError):
            text = f"{error.description or type(error).__name__} (code {error.code})"
            return SinkError(f"{self._where}: {one_line(text)}")
        if isinstance(error, OSError):
            return failure(self._where, error)
        text = _plain(str(error) or type(error).__name__)
        return SinkError(f"{self._where}: {text}", final="authorization" in text.lower())


async def _closed(client: "Client") -> None:
    """The library waits without end for a peer with whom the TLS handshake failed."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.close(), CLOSE_S)


def _before(
    refused: Sequence[Refused], published: Sequence[int], failures: Sequence[SinkError | None]
) -> int:
    """Records from the first on that are stored."""
    pairs = zip(published, failures, strict=True)
    failed = min(number for number, failure_ in pairs if failure_ is not None)
    return min([failed, *(each.index for each in refused)])


def _plain(text: str) -> str:
    return one_line(text.removeprefix("nats: ").strip().strip("'"))
