"""A certificate authority made by openssl: certificates of servers and clients, also bad ones."""

import subprocess
from pathlib import Path

from exporters.endpoint import TlsFiles


class Authority:
    """`certificate` is what those who trust it are given."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.certificate = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
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
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-out", certificate, "-extfile", extensions,
            "-days", "-1" if expired else "2",
        )  # fmt: skip
        return TlsFiles(str(self.certificate), str(certificate), str(key))


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)
