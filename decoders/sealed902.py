"""What TLS on TCP 902 hides when no secret opens it: told apart by its volume, and said so."""

from decoders.message import Call, Message, OperationClass

# Unverified thresholds: no source has measured these protocols against each other.
WRITTEN_BYTES_MIN = 4 * 2**20  # keys and mouse events are some bytes each, whatever the time
READ_BYTES_MIN = 64 * 2**20
READ_BYTES_PER_S_MIN = 16 * 2**20  # a screen is compressed, and rests most of the time
CONSOLE_SECONDS_MIN = 30  # transfers end when they are done
CONSOLE_BYTES_MIN = 64 * 2**10  # one screen
CONSOLE_BYTES_PER_S_MAX = 2 * 2**20
NS_PER_S = 10**9


class Sealed:
    """The second TLS handshake of a connection, whose dialog in the first one was not read."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._is_open: dict[int, bool] = {}  # by TLS session, as last told
        self._since_ns = 0

    def tls(self, tls_session: int, is_open: bool, time_ns: int) -> None:
        if tls_session > 1 and not self._since_ns:
            self._since_ns = time_ns
        self._is_open[min(tls_session, 2)] = is_open

    def close(self, time_ns: int, to_server_bytes: int, to_client_bytes: int) -> list[Message]:
        """One call without a user, at the end, when the volume is known."""
        if not self._since_ns or self._is_open[2]:
            return []
        kind = _kind(time_ns - self._since_ns, to_server_bytes, to_client_bytes)
        return [
            Call(
                time_ns=self._since_ns,
                end_ns=time_ns,
                token=self._session,
                api="authd",
                operation="TLS",
                operation_class=kind or OperationClass.READ,
                details=(
                    ("service", kind.value if kind is not None else "unknown"),
                    ("told_by", "volume"),
                    ("to_server_bytes", str(to_server_bytes)),
                    ("to_client_bytes", str(to_client_bytes)),
                ),
            )
        ]


def _kind(lasted_ns: int, to_server_bytes: int, to_client_bytes: int) -> OperationClass | None:
    lasted_s = max(1, lasted_ns // NS_PER_S)
    rate = to_client_bytes // lasted_s
    if to_server_bytes >= WRITTEN_BYTES_MIN:
        return OperationClass.DISK
    if to_client_bytes >= READ_BYTES_MIN and rate >= READ_BYTES_PER_S_MIN:
        return OperationClass.DISK
    is_long = lasted_s >= CONSOLE_SECONDS_MIN and to_client_bytes >= CONSOLE_BYTES_MIN
    if is_long and rate <= CONSOLE_BYTES_PER_S_MAX and to_client_bytes > 4 * to_server_bytes:
        return OperationClass.CONSOLE
    return None
