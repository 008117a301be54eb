"""Real: Debian's libvirtd with its test driver inside TLS, and virsh, whose GnuTLS writes the key
log. At the usual port an account by SASL (SCRAM-SHA-256), at 16515 the client's certificate."""

import subprocess
from pathlib import Path

from tests.lab.namespaces import SERVER_ADDRESS
from tests.lab.record import Recorder
from tests.lab.recordings.libvirt_daemon import start, virsh

SASL_PORT, CERTIFICATE_PORT = 16514, 16515
DAYS = "3650"


def certificates(directory: Path) -> Path:
    """A folder as virsh's `pkipath` wants it, with what a daemon needs beside."""
    directory.mkdir()

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", "cakey.pem", "-out", "cacert.pem", "-days", DAYS, "-subj",
        "/CN=Lab CA")  # fmt: skip
    for name, subject in (("server", "/CN=kvm1.lab.test"), ("client", "/O=Lab/CN=bob-laptop")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", f"{name}key.pem", "-out", f"{name}.csr", "-subj", subject)  # fmt: skip
        (directory / "san").write_text(f"subjectAltName=IP:{SERVER_ADDRESS}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "cacert.pem", "-CAkey", "cakey.pem",
            "-CAcreateserial", "-out", f"{name}cert.pem", "-days", DAYS, "-extfile",
            "san")  # fmt: skip
    return directory


def serve(recorder: Recorder) -> None:
    pki = certificates(recorder.directory / "pki")
    files = {"ca_file": "cacert.pem", "cert_file": "servercert.pem", "key_file": "serverkey.pem"}
    settings = {name: str(pki / file) for name, file in files.items()} | {"listen_tls": "1"}
    start(recorder, SASL_PORT, auth_tls="sasl", **settings)
    start(recorder, CERTIFICATE_PORT, auth_tls="none", **settings)


def ask(recorder: Recorder) -> None:
    keys = recorder.directory / "keys.log"
    path = f"default?pkipath={recorder.directory / 'pki'}"
    by_account = f"test+tls://{SERVER_ADDRESS}/{path}"
    virsh(recorder, by_account, "destroy test; start test; net-destroy default", user="bob",
        password="B0b!libvirt", keys=keys)  # fmt: skip
    virsh(recorder, by_account, "destroy test", user="eve", password="wrong", fails=True, keys=keys)
    by_certificate = f"test+tls://{SERVER_ADDRESS}:{CERTIFICATE_PORT}/{path}"
    virsh(recorder, by_certificate, "reboot test; undefine test", fails=True, keys=keys)
