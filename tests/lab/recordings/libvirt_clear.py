"""Real: Debian's libvirtd with its test driver, and virsh. Two daemons: at the usual port one that
lets everybody in, at 16519 one that asks for SASL, with DIGEST-MD5, which seals what follows."""

from tests.lab.namespaces import SERVER_ADDRESS
from tests.lab.record import Recorder
from tests.lab.recordings.libvirt_daemon import DOMAIN, start, virsh

OPEN_PORT, SASL_PORT = 16509, 16519


def serve(recorder: Recorder) -> None:
    start(recorder, OPEN_PORT, auth_tcp="none")
    start(recorder, SASL_PORT, auth_tcp="sasl")


def ask(recorder: Recorder) -> None:
    description = recorder.directory / "web.xml"
    description.write_text(DOMAIN)
    uri = f"test+tcp://{SERVER_ADDRESS}/default"
    virsh(
        recorder,
        uri,
        f"define {description}; start web; dumpxml web; snapshot-create-as web before; suspend web;"
        "resume web; reboot web; setmem web 131072; snapshot-delete web before; destroy web;"
        "undefine web; domstate test; shutdown test; net-destroy default; pool-list --all",
    )
    virsh(recorder, uri, "destroy test; destroy test", fails=True)
    sealed = f"test+tcp://{SERVER_ADDRESS}:{SASL_PORT}/default"
    virsh(recorder, sealed, "destroy test", user="bob", password="B0b!libvirt")
    virsh(recorder, sealed, "destroy test", user="eve", password="wrong", fails=True)
