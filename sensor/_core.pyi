"""The typed contract of the C extension: sources are filled without the GIL, batches iterated."""

from array import array
from collections.abc import Iterator, Mapping
from typing import Any, final

# kinds of event in a batch
FLOW: int  # value: FlowTuple, before the flow's first other event
TRANSACTION: int  # value: TransactionTuple
CHUNK: int  # value: bytes of a non-HTTP stream
GAP: int  # value: int, bytes known missing
DATAGRAM: int  # value: bytes of a UDP payload
PROXY_HEADER: int  # value: bytes of a PROXY protocol header
FLOW_END: int  # value: (packets to server, packets to client, bytes to server, bytes to client)
TLS: int  # value: TlsTuple; direction 0
MESSAGE: int  # value: FramedTuple, one message of a protocol of TCP 902

TO_SERVER: int
TO_CLIENT: int

# (protocol number, client address, client port, server address, server port, vlan or -1, tunnel
# name or "",
#  community id, uid, source index, pid of the tapped process or 0, number of the tap, whether the
# process is the server, its name, its cgroups as /proc shows them). Of a tapped flow whose socket
# is not known, the addresses are "process:PID" and "peer of process:PID", ports 0, and the
# community id is "".
FlowTuple = tuple[int, str, int, str, int, int, str, str, str, int, int, int, bool, str, str]

# (request_ns, response_ns, end_ns, method, target, status, request_head, response_head,
# request_body,
#  response_body, operation, this_type, this_id, operation_id, flags); str fields are latin-1
TransactionTuple = tuple[
    int, int, int, str, str, int, bytes, bytes, bytes, bytes, str, str, str, str, int
]

# What is known of a flow's TLS, whenever something of it is new and before the transactions it
# describes:
# (session, version, cipher, cipher_name, visibility, trouble, key_source, resumed, early_data,
# sni, alpn,
#  alpn_offered, ja3, ja3s, ja4, ja4s, subject, issuer, fingerprint, client_subject, client_issuer,
# client_fingerprint, random_hash); numbers are those of sensor/core/tls.h, random_hash is the
# hash in hex of
# the randoms of the handshake: another flow with the same one carries the same session
TlsTuple = tuple[
    int, int, int, str, int, int, int, bool, bool, str, str,
    str, str, str, str, str, str, str, str, str, str,
    str, str,
]  # fmt: skip

# (protocol, flags, TLS session or 0, size_bytes, start_ns, data), as sensor/core/framed.h says
FramedTuple = tuple[int, int, int, int, int, bytes]

COUNTERS: tuple[str, ...]
LIMITS: tuple[str, ...]

def cutting_refused() -> str:
    """Why packets cannot be cut here (sensor/core/cutter.h), or ""."""

@final
class Interest:
    """What to hand up (sensor/core/interest.h). Needles are any-of; none is no condition."""

    def operation(
        self,
        name: str,
        want: int,
        request_has: tuple[str, ...] = ...,
        response_has: tuple[str, ...] = ...,
    ) -> None: ...
    def path(
        self,
        method: str,
        path: str,
        want: int,
        request_has: tuple[str, ...] = ...,
        response_has: tuple[str, ...] = ...,
    ) -> None: ...
    def token_header(self, name: str) -> None: ...
    def token_cookie(self, name: str) -> None: ...
    def object_property(self, name: str) -> None: ...
    def port(self, protocol: int, port: int) -> None: ...

@final
class Batch:
    """Events in order: `(kind, flow, direction, time_ns, ordinal, value)`.

    `flow` is a number that names the flow within its source. `time_ns` is packet time when the
    event came out and never falls; a transaction carries its own times.
    """

    watermark_ns: int  # packet time up to which this source has said everything
    watermark_ordinal: int
    end: bool  # the input is over
    error: str | None  # one line; set only with end

    def __iter__(self) -> Iterator[tuple[int, int, int, int, int, Any]]: ...
    def __len__(self) -> int: ...

@final
class Source:
    """Packets of files (merged by packet time) or interfaces, through the core.

    Belongs to the thread that fills it: a second caller gets RuntimeError. Raises OSError with one
    line when an input cannot be opened.
    """

    def __init__(
        self,
        interest: Interest,
        limits: Mapping[str, int],
        *,
        files: tuple[str, ...] = ...,
        interfaces: tuple[str, ...] = ...,
        worker: int = ...,
        workers: int = ...,
        fanout_group: int = ...,
        ring_bytes: int = ...,
        ports: tuple[int, ...] = ...,
        promiscuous: bool = ...,
        decrypt: bool = ...,
        secrets_of: Source | None = ...,
        tap: int = ...,
        secrets_to: tuple[Source, ...] = ...,
        cut: bool = ...,
    ) -> None:
        """Without `decrypt` TLS is metadata only, and no key is kept, those of a file included.

        Secrets inside the files are read first, or taken from `secrets_of`, a source of the same
        files that has not been filled yet.

        `tap` is the descriptor of a BPF ring buffer, duplicated, and then the only input: what
        sensor/core/tap_event.h says is read from it. TLS secrets in it are for `secrets_to`.

        `cut`: of what is sealed, interfaces hand over headers alone, where `cutting_refused()` is
        empty. Not with `decrypt`.
        """
    def add_secrets(self, lines: bytes | bytearray | memoryview, key_source: int) -> bool:
        """Key log lines, copied, for the next fill. From any thread. False: too many wait.

        The last line may lack its end. `key_source` is one of sensor/core/tls.h.
        """
    def add_rsa_key(self, pem: bytes | bytearray | memoryview) -> None:
        """A server's private key, before the first fill. Raises ValueError with one line."""
    def fill(self, timeout_ms: int) -> Batch: ...
    def counters(self) -> dict[str, int]: ...
    def source_stats(self) -> list[dict[str, int]]:
        """One row for each file or interface; `filtered` and `cut` where packets may be cut."""
    def tls_sessions(self) -> list[tuple[str, str, int]]:
        """(version, result, count) rows: unknown, older, 1.2 or 1.3; tls_sessions_RESULT."""
    def operations(self) -> list[tuple[str, str, int, int, int]]:
        """(service, operation, success, failure, unknown) rows."""
    def gauges(self) -> dict[str, int]:
        """flows, memory_bytes, memory_bytes_limit: what is held now."""
    def secrets(self) -> list[tuple[int, bytes]]:
        """(secrets type, contents) of the pcapng decryption secrets blocks read so far."""
    def stop(self) -> None:
        """From any thread: the next fill flushes every flow, and ends.

        Of a tap one of the next ones does, when what is in the ring has been read.
        """
    def close(self) -> None: ...

# Ed25519 (RFC 8032). Keys come as PEM; ValueError says, in one line, what is wrong with one.
def ed25519_sign(private_pem: bytes, message: bytes, /) -> bytes: ...
def ed25519_public_key(pem: bytes, /) -> bytes:
    """The 32 bytes of the public half of a public or private key."""

def ed25519_is_signed(public_key: bytes, message: bytes, signature: bytes, /) -> bool: ...

# The likelihood of parents with their children (sensor/core/causes.h). Arrays are buffers of the
# item size that causes.h states; a window is the arrays from parent_start to option_share, a model
# is (kinds, rows, floor, arrays from group to slack). All sizes and indexes are checked.
CAUSES_BINS: int
CAUSES_SLOTS: int
CAUSES_COUNTS: int
CAUSES_REPEATS: int
CAUSES_KINDS: int

CausesWindow = tuple[
    array[int], array[int], array[int], array[int], array[int], array[int], array[int],
    array[int], array[int], array[int], array[int], array[int], array[float], array[float],
]  # fmt: skip
CausesTables = tuple[array[int], array[float], array[float], array[float], array[int]]
CausesModel = tuple[int, int, float, CausesTables]
CausesTally = tuple[array[float], array[float], array[float], array[float]]

def causes_propose(
    window: CausesWindow,
    model: CausesModel,
    held: array[int],
    seen: array[float] | None,
    share: array[float],
    /,
) -> None: ...
def causes_greedy(window: CausesWindow, model: CausesModel, held: array[int], /) -> None: ...
def causes_sample(
    window: CausesWindow,
    model: CausesModel,
    held: array[int],
    sweeps: int,
    cold: float,
    seed: int,
    seen: array[float] | None,
    tally: CausesTally | None,
    tally_every: int,
    /,
) -> None: ...
def causes_smooth(
    counts: array[float], density: array[float], at: int, weight: float, prior: float, /
) -> None: ...

# What targets say (causes_targets.h): options is (from, parent, pair, child's kind, base, log rate
# of nobody by kind), votes is (for the pair, for the child's target, targets among, relation).
CausesOptions = tuple[
    array[int], array[int], array[int], array[int], array[float], array[float]
]  # fmt: skip
CausesVotes = tuple[array[float], array[float], array[float], array[int]]

def causes_weigh(
    options: CausesOptions, votes: CausesVotes, seen: array[float] | None, log: array[float], /
) -> None: ...
def causes_vote(
    options: CausesOptions, votes: CausesVotes, seen: array[float], sums: array[float], /
) -> None: ...
def causes_masses(counts: array[float] | memoryview[float], sums: array[float], /) -> None: ...
def causes_bin(gap_ns: float, /) -> int: ...
def causes_bin_width(bin: int, /) -> float: ...
