"""Where a library's code says that things are: forms that compilers gave its small functions."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sensor.bpf import libraries
from sensor.bpf.libraries import Does, Library, Mode, Unsuited

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")

# OpenSSL 3.0, as Debian 12 has it: endbr64 is what distributions with CET add.
SIMPLE = """
function SSL_is_server
    endbr64
    mov 0x38(%rdi), %eax
    xor %edi, %edi
    ret
function SSL_get_client_random
    mov $0x20, %eax
    lea 0x160(%rdi), %rsi
    ret
"""
# OpenSSL 1.1.1: through s->s3.
THROUGH_A_POINTER = """
function SSL_is_server
    mov 0x38(%rdi), %eax
    ret
function SSL_get_client_random
    mov 0xa8(%rdi), %rdi
    lea 0xb8(%rdi), %rcx
    ret
"""
# OpenSSL 3.5: an SSL may be a QUIC connection, which has the TLS session within.
BRANCHING = """
function SSL_is_server
    mov (%rdi), %eax
    test %eax, %eax
    je 1f
    call SSL_free
    mov %rax, %rdi
1:  mov 0x78(%rdi), %eax
    ret
function SSL_get_client_random
    mov (%rdi), %eax
    test %eax, %eax
    je 1f
    call SSL_free
    mov %rax, %rdi
1:  lea 0x188(%rdi), %rsi
    ret
"""
HIDDEN = """
function SSL_is_server
    jmp SSL_free
function SSL_get_client_random
    jmp SSL_free
"""
PUBLIC = """
reads: ret
writes: ret
function SSL_free
    ret
function SSL_read
    call reads
    call SSL_free
    ret
function SSL_read_ex
    call reads
    ret
function SSL_write
    call writes
    ret
function SSL_write_ex
    call writes
    ret
"""
FROM_33 = PUBLIC.replace(
    "function SSL_write_ex\n    call writes",
    "function SSL_write_ex\n    jmp SSL_write_ex2@PLT\nfunction SSL_write_ex2\n    call writes",
)
INLINED = """
function SSL_free
    ret
function SSL_read
    ret
function SSL_read_ex
    ret
function SSL_write
    ret
"""
HOOK = """
log_secret: ret
function changes_cipher
    lea random(%rip), %rsi
    call log_secret
    ret
function exports
    lea exporter(%rip), %rsi
    mov $0x30, %ecx
    call log_secret
    ret
.section .rodata
    .byte 0
random: .asciz "CLIENT_RANDOM"
exporter: .asciz "EARLY_EXPORTER_SECRET"
"""
OTHER_HOOK = HOOK.replace("call log_secret", "call SSL_free", 1)


def built(directory: Path, *parts: str) -> str:
    lines, ends = [], ""
    for line in "\n.text\n".join(parts).splitlines():
        word, _, name = line.partition(" ")
        if word == "function" or not line:
            lines.append(ends)
            ends = f".size {name}, . - {name}" if name else ""
        if word == "function":
            lines += [f".globl {name}", f".type {name}, @function", f"{name}:"]
        else:
            lines.append(line)
    source, library = directory / "library.s", directory / "library.so"
    source.write_text("\n".join(lines) + "\n")
    command = ["gcc", "-shared", "-nostdlib", "-Wl,-Bsymbolic", "-o", str(library), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return str(library)


def found(path: str, mode: Mode) -> Library:
    library = libraries.find(path, mode)
    assert library is not None
    return library


@pytest.mark.parametrize(
    ("code", "expected"),
    [(SIMPLE, (0, 0x160)), (THROUGH_A_POINTER, (0xA8, 0xB8)), (BRANCHING, (0, 0x188))],
)
def test_the_clients_random(tmp_path: Path, code: str, expected: tuple[int, int]) -> None:
    library = found(built(tmp_path, PUBLIC, code, HOOK), "keys")
    assert (library.state_at, library.random_at) == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [(SIMPLE, 0x38), (THROUGH_A_POINTER, 0x38), (BRANCHING, 0x78), (HIDDEN, 0)],
)
def test_the_side_that_it_is_on(tmp_path: Path, code: str, expected: int) -> None:
    assert found(built(tmp_path, PUBLIC, code), "plaintext").server_at == expected


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((HIDDEN, HOOK), "where it holds the client's random cannot be told"),
        ((SIMPLE, OTHER_HOOK), "where it would log secrets cannot be told"),
        ((SIMPLE,), "where it would log secrets cannot be told"),
        ((HOOK,), "SSL_get_client_random is missing"),
    ],
)
def test_secrets_that_cannot_be_had(tmp_path: Path, parts: tuple[str, ...], why: str) -> None:
    path = built(tmp_path, PUBLIC, *parts)
    with pytest.raises(Unsuited, match=why):
        libraries.find(path, "keys")
    assert libraries.find(path, "plaintext")


READS_AND_WRITES = {
    Does.READS, Does.READS_INTO, Does.WRITES, Does.WRITES_INTO, Does.WRITES_WITH,
}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (PUBLIC, {Does.READS_INTO, Does.WRITES_INTO}),
        (FROM_33, {Does.READS_INTO, Does.WRITES_WITH}),
        (INLINED, {Does.READS, Does.READS_INTO, Does.WRITES}),
    ],
)
def test_what_all_reads_and_writes_go_through(
    tmp_path: Path, code: str, expected: set[Does]
) -> None:
    """Each once: no call is seen by two probes."""
    places = found(built(tmp_path, code, SIMPLE), "plaintext").places
    moving = [each.does for each in places if each.does in READS_AND_WRITES and not each.returns]
    assert sorted(moving) == sorted(expected)
    returning = [each.does for each in places if each.returns]
    assert sorted(returning) == sorted(expected)
