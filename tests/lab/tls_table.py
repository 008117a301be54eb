"""What TLS may be: versions, suites, and what is done within a connection, row by row.

A row is for `openssl s_server` and `s_client`. It names what must work: a suite that OpenSSL does
not have here fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass

TLS13 = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_AES_128_CCM_8_SHA256",
]

# as OpenSSL names it, as IANA does
TLS12 = [line.split() for line in """
AES128-GCM-SHA256 TLS_RSA_WITH_AES_128_GCM_SHA256
AES256-GCM-SHA384 TLS_RSA_WITH_AES_256_GCM_SHA384
DHE-RSA-AES128-GCM-SHA256 TLS_DHE_RSA_WITH_AES_128_GCM_SHA256
DHE-RSA-AES256-GCM-SHA384 TLS_DHE_RSA_WITH_AES_256_GCM_SHA384
ECDHE-RSA-AES128-GCM-SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
ECDHE-RSA-AES256-GCM-SHA384 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
ECDHE-ECDSA-AES128-GCM-SHA256 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
ECDHE-ECDSA-AES256-GCM-SHA384 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
DHE-RSA-CHACHA20-POLY1305 TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256
ECDHE-RSA-CHACHA20-POLY1305 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
ECDHE-ECDSA-CHACHA20-POLY1305 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
AES128-CCM TLS_RSA_WITH_AES_128_CCM
AES256-CCM TLS_RSA_WITH_AES_256_CCM
AES128-CCM8 TLS_RSA_WITH_AES_128_CCM_8
AES256-CCM8 TLS_RSA_WITH_AES_256_CCM_8
DHE-RSA-AES128-CCM TLS_DHE_RSA_WITH_AES_128_CCM
DHE-RSA-AES256-CCM8 TLS_DHE_RSA_WITH_AES_256_CCM_8
ECDHE-ECDSA-AES128-CCM TLS_ECDHE_ECDSA_WITH_AES_128_CCM
ECDHE-ECDSA-AES256-CCM TLS_ECDHE_ECDSA_WITH_AES_256_CCM
ECDHE-ECDSA-AES128-CCM8 TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
ECDHE-ECDSA-AES256-CCM8 TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8
AES128-SHA256 TLS_RSA_WITH_AES_128_CBC_SHA256
AES256-SHA256 TLS_RSA_WITH_AES_256_CBC_SHA256
DHE-RSA-AES128-SHA256 TLS_DHE_RSA_WITH_AES_128_CBC_SHA256
DHE-RSA-AES256-SHA256 TLS_DHE_RSA_WITH_AES_256_CBC_SHA256
ECDHE-RSA-AES128-SHA256 TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256
ECDHE-RSA-AES256-SHA384 TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384
ECDHE-ECDSA-AES128-SHA256 TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
ECDHE-ECDSA-AES256-SHA384 TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
""".strip().splitlines()]  # fmt: skip

# of every version up to 1.2
TLS10 = [line.split() for line in """
AES128-SHA TLS_RSA_WITH_AES_128_CBC_SHA
AES256-SHA TLS_RSA_WITH_AES_256_CBC_SHA
DHE-RSA-AES128-SHA TLS_DHE_RSA_WITH_AES_128_CBC_SHA
DHE-RSA-AES256-SHA TLS_DHE_RSA_WITH_AES_256_CBC_SHA
ECDHE-RSA-AES128-SHA TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
ECDHE-RSA-AES256-SHA TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
ECDHE-ECDSA-AES128-SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
ECDHE-ECDSA-AES256-SHA TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
""".strip().splitlines()]  # fmt: skip

GROUPS = ["X25519", "P-256", "P-384", "P-521", "X448", "ffdhe2048", "ffdhe3072"]

STARTS = ("again", "again unlogged", "early")  # a new connection, which resumes the session
UPDATES = ("login", "client K", "login", "client k", "login", "server K", "login", "login")


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    version: str  # "1.2"
    suite: str  # OpenSSL's name
    cipher: str  # IANA's
    server: tuple[str, ...] = ()
    client: tuple[str, ...] = ()
    steps: tuple[str, ...] = ("login",)  # and commands, and starts
    says: tuple[bytes, ...] = ()  # the client, sometime
    extended: bool = True  # master secret

    @property
    def logins(self) -> int:
        return sum(step in ("login", "early") for step in self.steps)

    @property
    def rsa(self) -> bool:
        """RSA key exchange: the server's private key opens it."""
        return self.cipher.startswith("TLS_RSA_")

    @property
    def resumes(self) -> bool:
        """From the second login on, one connection each."""
        return any(step in STARTS for step in self.steps)

    def user(self, number: int) -> str:
        return f"{self.name}-{number}"


def rows() -> Iterator[Row]:
    yield from (Row(f"1.3-{suite}", "1.3", suite, suite) for suite in TLS13)
    for version, suites in (("1.2", TLS12 + TLS10), ("1.1", TLS10), ("1.0", TLS10)):
        for suite, cipher in suites:
            yield Row(f"{version}-{suite}", version, suite, cipher)
    ciphers = {suite: cipher for suite, cipher in TLS12 + TLS10}
    yield from _cbc_rows(ciphers)
    yield from _tls12_rows(ciphers)
    yield from _tls13_rows()


def _cbc_rows(ciphers: dict[str, str]) -> Iterator[Row]:
    """MAC then encrypt, as it was before RFC 7366."""
    for version, suite in (
        *(
            (version, suite)
            for version in ("1.0", "1.1", "1.2")
            for suite in ("AES128-SHA", "ECDHE-RSA-AES256-SHA")
        ),
        ("1.2", "AES256-SHA256"),
        ("1.2", "DHE-RSA-AES128-SHA256"),
        ("1.2", "ECDHE-RSA-AES256-SHA384"),
    ):
        no_etm = ("-no_etm",)
        yield Row(f"{version}-{suite}-mac-first", version, suite, ciphers[suite], client=no_etm)


def _tls12_rows(ciphers: dict[str, str]) -> Iterator[Row]:
    for version, suite in (
        ("1.0", "AES128-SHA"),
        ("1.1", "ECDHE-RSA-AES128-SHA"),
        ("1.2", "AES256-GCM-SHA384"),
        ("1.2", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("1.2", "DHE-RSA-AES128-SHA256"),
    ):
        yield Row(
            f"{version}-{suite}-unextended",
            version,
            suite,
            ciphers[suite],
            says=(b"Extended master secret: no",),
            extended=False,
        )
    for suite in ("AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA"):
        common = ("1.2", suite, ciphers[suite])
        yield Row(
            f"1.2-{suite}-client-certificate",
            *common,
            server=("-Verify", "1"),
            client=("-cert", "client.pem"),
        )
        for command in ("client R", "server r"):
            yield Row(
                f"1.2-{suite}-{command.replace(' ', '-')}",
                *common,
                server=("-client_renegotiation",),
                steps=("login", command, "login"),
            )
        for name, options in (("ticket", ()), ("id", ("-no_ticket",))):
            for again in ("again", "again unlogged"):
                yield Row(
                    f"1.2-{suite}-{name}-{again.replace(' ', '-')}",
                    *common,
                    server=options,
                    client=options,
                    steps=("login", again, "login"),
                    says=(b"Reused, TLSv1.",),
                )


def _tls13_rows() -> Iterator[Row]:
    common = ("1.3", TLS13[0], TLS13[0])
    for group in GROUPS:
        yield Row(f"1.3-{group}", *common, server=("-groups", group), client=("-groups", group))
    yield Row("1.3-retry", *common, server=("-groups", "P-384"), client=("-groups", "X25519:P-384"))
    yield Row(
        "1.3-client-certificate",
        *common,
        server=("-Verify", "1"),
        client=("-cert", "client.pem"),
    )
    for suite in TLS13:
        yield Row(f"1.3-{suite}-update", "1.3", suite, suite, steps=UPDATES)
    resumed = (b"Reused, TLSv1.3",)
    yield Row("1.3-resumed", *common, steps=("login", "again", "login"), says=resumed)
    yield Row(
        "1.3-resumed-without-tickets",
        *common,
        server=("-no_ticket",),
        steps=("login", "again", "login"),
        says=resumed,
    )
    yield Row(
        "1.3-resumed-retry",
        *common,
        server=("-groups", "P-384"),
        client=("-groups", "X25519:P-384"),
        steps=("login", "again", "login"),
        says=resumed,
    )
    yield Row(
        "1.3-psk-alone",
        *common,
        server=("-allow_no_dhe_kex",),
        client=("-allow_no_dhe_kex",),
        steps=("login", "again", "login"),
        says=resumed,
    )
    for suite in (TLS13[0], TLS13[1], TLS13[2]):
        yield Row(
            f"1.3-{suite}-early",
            "1.3",
            suite,
            suite,
            server=("-early_data",),
            steps=("login", "early", "login"),
            says=(*resumed, b"Early data was accepted"),
        )


ROWS = list(rows())
