"""Which places of a file a tap probes, by the functions that the file has."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from itertools import pairwise
from typing import Literal

from sensor.bpf import gobinary, x86
from sensor.bpf.elf import DAMAGE, X86_64, Elf, ElfError, Function

Mode = Literal["plaintext", "keys"]
_SESSION_REGISTER = 7  # RDI, the first argument
_CLEARS = 0x31  # XOR
_GETTER_BYTES_MAX = 256
_FUNCTION_BYTES_MAX = 64 * 1024  # those that are read whole have some thousand
_RETURNS_MAX = 1024
_CLIENT_LABELS = ("CLIENT_RANDOM", "EARLY_EXPORTER_SECRET", "CLIENT_EARLY_TRAFFIC_SECRET")
_LABELS_MIN = 2  # that lead to the same function, for it to be the key-log hook


class Does(IntEnum):
    """What a probed function does: enum function of tap.bpf.h."""

    READS = 0
    READS_INTO = 1
    WRITES = 2
    WRITES_INTO = 3
    CONNECTS = 4
    ACCEPTS = 5
    SETS_SOCKET = 6
    BEGINS = 7
    CLEARS = 8
    ENDS = 9
    RETURNS = 10
    SENDS_FILE = 11
    WRITES_WITH = 12


_WITH_RETURN = {
    Does.READS, Does.READS_INTO, Does.WRITES, Does.WRITES_INTO, Does.WRITES_WITH, Does.SENDS_FILE,
    Does.BEGINS,
}  # fmt: skip
_OPENSSL = {
    "SSL_read": Does.READS,
    "SSL_read_ex": Does.READS_INTO,
    "SSL_write": Does.WRITES,
    "SSL_write_ex": Does.WRITES_INTO,
    "SSL_write_ex2": Does.WRITES_WITH,
    "SSL_sendfile": Does.SENDS_FILE,
    "SSL_set_fd": Does.SETS_SOCKET,
    "SSL_set_rfd": Does.SETS_SOCKET,
    "SSL_set_wfd": Does.SETS_SOCKET,
    "SSL_set_connect_state": Does.CONNECTS,
    "SSL_connect": Does.CONNECTS,
    "SSL_set_accept_state": Does.ACCEPTS,
    "SSL_accept": Does.ACCEPTS,
    "SSL_clear": Does.CLEARS,
    "SSL_free": Does.ENDS,
}
# They end in ssl_read_internal and ssl_write_internal, which have no symbol; from 3.3 on
# SSL_write_ex ends in SSL_write_ex2.
_READS, _WRITES = ("SSL_read", "SSL_read_ex"), ("SSL_write", "SSL_write_ex")
_WRITES_33 = ("SSL_write", "SSL_write_ex2")
_OPENSSL_NEEDED = ("SSL_read", "SSL_write")
# gnutls_record_send ends in gnutls_record_send2.
_GNUTLS = {
    "gnutls_record_recv": Does.READS,
    "gnutls_record_send2": Does.WRITES,
    "gnutls_init": Does.BEGINS,
    "gnutls_transport_set_int2": Does.SETS_SOCKET,
    "gnutls_transport_set_ptr": Does.SETS_SOCKET,
    "gnutls_transport_set_ptr2": Does.SETS_SOCKET,
    "gnutls_deinit": Does.ENDS,
}
_GNUTLS_NEEDED = ("gnutls_record_recv", "gnutls_record_send2")
_GETTERS = ("SSL_get_client_random", "gnutls_session_get_random")
_HOOKS = ("ssl_log_secret", "_gnutls_call_keylog_func")
_SIDE = "SSL_is_server"
_EVERY = (*_OPENSSL, *_GNUTLS, *_GETTERS, *_HOOKS, _SIDE)
_GO = {
    "crypto/tls.(*Conn).Read": Does.READS,
    "crypto/tls.(*Conn).Write": Does.WRITES,
    "crypto/tls.(*Conn).Close": Does.ENDS,
    "crypto/tls.(*Conn).clientHandshake": Does.ENDS,
    "crypto/tls.(*Conn).serverHandshake": Does.ENDS,
}
_GO_NEEDED = ("crypto/tls.(*Conn).Read", "crypto/tls.(*Conn).Write")
_GO_SECRET = "crypto/tls.(*Config).writeKeyLog"


@dataclass(frozen=True, slots=True)
class Place:
    """`program` runs at `offset` of the file, or when the function that begins there returns."""

    program: str
    offset: int
    does: Does = Does.READS
    returns: bool = False


@dataclass(frozen=True, slots=True)
class Library:
    """`places` in the order in which they are probed: a call's start before its end."""

    name: str
    places: tuple[Place, ...]
    state_at: int = 0  # as struct cookie of tap.bpf.h
    random_at: int = 0
    server_at: int = 0


class Unsuited(Exception):
    """It has a TLS library, but not what the tap needs: why."""


def find(opened: str | int, mode: Mode) -> Library | None:
    """None if the file of this path or descriptor has no TLS library.

    Raises OSError, ElfError, Unsuited.
    """
    with _opened(opened) as file:
        if file is None:
            return None
        if gobinary.is_go(file):
            return _go(file, mode)
        if not file.functions(*_OPENSSL_NEEDED, *_GNUTLS_NEEDED):
            return None
        file.functions(*_EVERY)  # are found together as fast as one
        for name, needed, probes, getter in (
            ("OpenSSL", _OPENSSL_NEEDED, _OPENSSL, _GETTERS[0]),
            ("GnuTLS", _GNUTLS_NEEDED, _GNUTLS, _GETTERS[1]),
        ):
            has = file.functions(*needed).keys()
            if has and (without := set(needed) - has):
                raise Unsuited(f"{name} lacks {', '.join(without)}")
            if has:
                if mode == "keys":
                    return _secrets(file, name, getter)
                return _plaintext(file, name, probes)
    return None


@contextmanager
def _opened(opened: str | int) -> Iterator[Elf | None]:
    """None of what is mapped as code without being a program or a library."""
    try:
        file = Elf(opened)
    except (ElfError, *DAMAGE):
        yield None
        return
    with file:
        try:
            yield file
        except DAMAGE:
            raise ElfError("is a damaged ELF file") from None


def _plaintext(file: Elf, name: str, probes: dict[str, Does]) -> Library:
    found = file.functions(*probes)
    if "SSL_write_ex2" in found:
        del found["SSL_write_ex"]
    for outer in (_READS, _WRITES_33 if "SSL_write_ex2" in found else _WRITES):
        if inner := _inner(file, outer):
            # Also BIO_f_ssl calls it, past the functions that have names.
            del found[outer[0]]
            found[outer[1]] = inner
    starts, ends = [], []
    for symbol in filter(found.get, probes):
        does, offset = probes[symbol], file.offset(found[symbol].address)
        starts.append(Place(f"{name.lower()}_enter", offset, does))
        if does in _WITH_RETURN:
            ends.append(Place(f"{name.lower()}_return", offset, does, returns=True))
    return Library(name, (*starts, *ends), server_at=_server_at(file))


def _inner(file: Elf, outer: tuple[str, str]) -> Function | None:
    """All that the second calls, if the first calls it as well: it has the second's arguments."""
    section, found = file.section(".text"), file.functions(*outer)
    if file.machine != X86_64 or section is None or len(found) < len(outer):
        return None
    called, by_second = (_called(file, found[name]) for name in outer)
    if len(by_second) != 1 or not by_second <= called:
        return None
    address = by_second.pop()
    return Function(address, 0) if address in range(section[0], sum(section)) else None


def _called(file: Elf, function: Function) -> set[int]:
    if function.size > _FUNCTION_BYTES_MAX:
        return set()
    code = file.bytes_at(function.address, function.size)
    try:
        decoded = list(x86.instructions(code, function.address))
    except ValueError:
        return set()
    inside = range(function.address, function.address + function.size)
    return {each.goes_to for each in decoded if each.goes_to and each.goes_to not in inside}


def _secrets(file: Elf, name: str, getter: str) -> Library:
    if file.machine != X86_64:
        raise Unsuited(f"secrets of {name} are found on x86-64 only")
    hook = _key_log_hook(file)
    state_at, random_at = _random_at(file, getter)
    place = Place("library_secret", file.offset(hook))
    return Library(f"{name} secrets", (place,), state_at, random_at)


def _key_log_hook(file: Elf) -> int:
    """Its symbol, or what is called right after the labels of a key log were loaded."""
    for symbol in _HOOKS:
        for function in file.functions(symbol).values():
            return function.address
    called = file.called_with(*_CLIENT_LABELS)
    everywhere: set[int] = reduce(set.union, called)
    likely = [at for at in everywhere if sum(at in each for each in called) >= _LABELS_MIN]
    if len(likely) != 1:
        raise Unsuited("where it would log secrets cannot be told")
    return likely[0]


def _random_at(file: Elf, getter: str) -> tuple[int, int]:
    """Where a session holds the client's random, from the code of the function that tells it.

    `lea X(%rdi)`, or through a pointer to the state: `mov X(%rdi), %r; lea Y(%r)`.
    """
    pointers: dict[int, int] = {}
    for each in _code(file, getter, "the client's random"):
        if each.address_of:
            base, offset = each.address_of
            if base in pointers and offset > 0:
                return pointers[base], offset
            if base == _SESSION_REGISTER and offset > 0:
                return 0, offset
        if each.loads_from and _SESSION_REGISTER not in pointers:
            base, offset = each.loads_from
            if base == _SESSION_REGISTER and offset > 0:
                pointers[each.register] = offset
    raise Unsuited("where it holds the client's random cannot be told")


def _server_at(file: Elf) -> int:
    """Where an SSL object says that it is a server's: what its getter returns; 0 if that is hidden.

    `mov X(%rdi), %eax; ret`, from 3.2 on after a look at what kind of object it is.
    """
    try:
        decoded = _code(file, _SIDE, "")
    except Unsuited:
        return 0
    for load, following in pairwise(decoded):
        # Some compilers clear registers before they return.
        cleared = following.returns or following.opcode == _CLEARS
        if load.loads_from and load.loads_from[0] == _SESSION_REGISTER and cleared:
            return max(load.loads_from[1], 0)
    return 0


def _code(file: Elf, symbol: str, what: str) -> list[x86.Instruction]:
    """Of a small function, as far as it is understood; without a size, to its first return."""
    function = file.functions(symbol).get(symbol)
    if function is None or file.machine != X86_64:
        raise Unsuited(f"where it holds {what} cannot be told: {symbol} is missing")
    size = min(function.size or _GETTER_BYTES_MAX, _GETTER_BYTES_MAX)
    decoded: list[x86.Instruction] = []
    with suppress(ValueError):
        for each in x86.instructions(file.bytes_at(function.address, size), function.address):
            decoded.append(each)
            if each.returns and not function.size:
                break
    return decoded


def _go(file: Elf, mode: Mode) -> Library | None:
    if file.machine != X86_64:
        raise Unsuited("Go programs are tapped on x86-64 only")
    found = gobinary.functions(file, *_GO, _GO_SECRET)
    if not set(_GO_NEEDED) <= found.keys():
        return None
    offsets = {name: file.offset(function.address) for name, function in found.items()}
    if mode == "keys":
        if _GO_SECRET not in found:
            raise Unsuited(f"it has no {_GO_SECRET}")
        return Library("Go secrets", (Place("go_secret", offsets[_GO_SECRET]),))
    places = [Place("go_function", offsets[name], _GO[name]) for name in filter(found.get, _GO)]
    for name in _GO_NEEDED:
        for offset in _returns(file, found[name]):
            places.append(Place("go_function", offset, Does.RETURNS))
    return Library("Go", tuple(places))


def _returns(file: Elf, function: Function) -> list[int]:
    """Offsets of its RET instructions. Raises Unsuited."""
    if function.size > _FUNCTION_BYTES_MAX:
        raise Unsuited("its functions are too long")
    code = file.bytes_at(function.address, function.size)
    try:
        found = [each.start for each in x86.instructions(code, function.address) if each.returns]
    except ValueError as error:
        raise Unsuited(str(error)) from None
    if not 0 < len(found) <= _RETURNS_MAX:
        raise Unsuited("its functions never return, or everywhere")
    return [file.offset(address) for address in found]
