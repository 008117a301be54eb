"""Keys and certificates made by openssl: of servers, of clients, of an authority, also bad ones."""

import subprocess
from pathlib import Path

from exporters.endpoint import TlsFiles

RSA = ("rsa:2048",)
P_256 = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")


class Authority:
    """`certificate` is what those who trust it are given."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        openssl(
            "req", "-x509", "-newkey", *P_256, "-nodes",
            "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.certificate, "-days", "2",
            "-addext", "keyUsage=critical,keyCertSign",
        )  # fmt: skip

    def issue(self, name: str, *, expired: bool = False) -> TlsFiles:
        """Certificate and key for a host or a client of this name, as a client is given them."""
        stem = f"{name}-expired" if expired else name
        request, certificate, key, extensions = (
            self._directory / f"{stem}.{each}" for each in ("csr", "pem", "key", "ext")
        )
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        extensions.write_text(f"subjectAltName={kind}:{name}\nbasicConstraints=CA:FALSE\n")
        openssl(
            "req", "-newkey", *P_256, "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-out", certificate, "-extfile", extensions,
            "-days", "-1" if expired else "2",
        )  # fmt: skip
        return TlsFiles(str(self.certificate), str(certificate), str(key))


def self_signed(pem: Path, name: str, kind: tuple[str, ...] = RSA) -> Path:
    """Private key and certificate in one file, as HAProxy wants them."""
    made = openssl(
        "req", "-x509", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}",
        "-keyout", "/dev/stdout",
    )  # fmt: skip
    pem.touch(0o600)
    pem.write_bytes(made)
    return pem


def signing_key(path: Path, algorithm: str = "ed25519", *options: str) -> Path:
    openssl("genpkey", "-algorithm", algorithm, *options, "-out", path)
    path.chmod(0o600)
    return path


def public_half(key: Path, path: Path) -> Path:
    openssl("pkey", "-in", key, "-pubout", "-out", path)
    return path


def openssl(*arguments: str | Path, directory: Path | None = None) -> bytes:
    """What it writes to its standard output."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, cwd=directory, check=True, capture_output=True, timeout=60)
    return done.stdout
