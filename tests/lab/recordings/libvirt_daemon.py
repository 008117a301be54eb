"""libvirtd and virsh as the recordings of libvirt use them."""

import os
import subprocess
from pathlib import Path

from tests.lab.record import Recorder

DOMAIN = """<domain type='test'><name>web</name><uuid>0b1f2c3d-1111-4222-8333-444455556666</uuid>
<memory unit='KiB'>262144</memory><vcpu>1</vcpu><os><type>hvm</type></os>
<devices><graphics type='vnc' port='-1' passwd='Cons0le'/></devices></domain>
"""
ACCOUNTS = {"bob": "B0b!libvirt"}


def start(recorder: Recorder, port: int, **settings: str) -> None:
    """A daemon that listens at `port`, in clear or, with listen_tls, inside TLS."""
    directory = recorder.directory / f"libvirtd-{port}"
    directory.mkdir()
    is_tls = settings.get("listen_tls") == "1"
    lines = {
        "listen_tls": "0",
        "listen_tcp": "0" if is_tls else "1",
        "tls_port" if is_tls else "tcp_port": str(port),
        "listen_addr": "0.0.0.0",
        "auth_unix_ro": "none",
        "auth_unix_rw": "none",
        "unix_sock_dir": str(directory),
        "host_uuid": "11111111-2222-4333-8444-555555555555",
        "log_outputs": f"3:file:{directory}/log",
    } | settings
    numbers = ("listen_tls", "listen_tcp")
    text = "".join(
        f"{name} = {value}\n" if name in numbers else f'{name} = "{value}"\n'
        for name, value in lines.items()
    )
    (directory / "libvirtd.conf").write_text(text)
    sasl = directory / "sasl"
    sasl.mkdir()
    mechanisms = "scram-sha-256" if is_tls else "digest-md5"
    database = sasl / "accounts.db"
    (sasl / "libvirt.conf").write_text(f"mech_list: {mechanisms}\nsasldb_path: {database}\n")
    for user, password in ACCOUNTS.items():
        account = ["saslpasswd2", "-p", "-f", str(database), "-a", "libvirt", user]
        subprocess.run(account, input=password, text=True, check=True)
    environment = {
        "SASL_CONF_PATH": sasl,
        "XDG_RUNTIME_DIR": directory,
        "LIBVIRT_DRIVER_DIR": directory,  # none there: the test driver is built in
    }
    command = ("libvirtd", "-l", "-f", directory / "libvirtd.conf", "-p", directory / "pid")
    stated = (f"{name}={value}" for name, value in environment.items())
    recorder.serve("env", *stated, *map(str, command), port=port)


def virsh(
    recorder: Recorder,
    uri: str,
    commands: str,
    *,
    user: str = "",
    password: str = "",
    fails: bool = False,
    keys: Path | None = None,
) -> None:
    home = recorder.directory / f"home-{user or 'nobody'}"
    home.mkdir(exist_ok=True)
    environment = ["env", f"HOME={home}", f"XDG_CONFIG_HOME={home}"]
    if keys is not None:
        environment.append(f"SSLKEYLOGFILE={keys}")
    if user:
        secrets = home / "auth.conf"
        secrets.write_text(
            f"[credentials-all]\nauthname={user}\npassword={password}\n"
            "[auth-libvirt-default]\ncredentials=all\n"
        )
        environment.append(f"LIBVIRT_AUTH_FILE={secrets}")
    try:
        recorder.wire.client.run(*environment, "virsh", "-c", uri, commands)
    except RuntimeError:
        if not fails:
            raise
    assert os.path.isdir(home)
