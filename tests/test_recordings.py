"""The captures that tests/lab/record.py makes: none of their secrets leaves the sensor, and what
people did is told of them.

The golden records stand beside each (tests/test_captures.py).
"""

import re
from pathlib import Path

import pytest

from tests.impair import decompressed
from tests.leaks import key_leaks, key_material, leaks
from tests.packaged import (
    CAPTURES,
    RECORDINGS,
    capture_of,
    key_options,
    replayed,
    tls_secrets_of,
)
from tests.test_secrets import assert_silent, everything_said

CAPTURE_BYTES_MAX = 60_000
# Passwords and tokens that the recordings say in their sources.
SECRETS = {
    "aria-clear": ["B0b!aria", "r3fresh-t0ken-0f-b0b", "eyJhbGciOiJSUzI1NiJ9", "Gu3st!pw",
                   "1d-t0ken"],
    "libvirt-clear": ["Cons0le"],
    "libvirt-tls": [],
    "openstack-clear": ["B0b!openstack", "Adm1n!lab", "Gu3st!pw", "c0nsole-t0ken"],
    "ovirt-clear": ["B0b!ovirt", "0vIrt-t0ken-0f-b0b", "c0nsole-t1cket"],
    "prism-clear": ["B0b!prism", "Pr1sm!admin", "pr1sm-c00kie", "I2Nsb3VkLWNvbmZpZwpw"],
    "proxmox-tls": ["B0b!proxmox", "dGhlIHNpZ25hdHVyZSBvZiBhIHRpY2tldA", "Gu3st!pw",
                    "0f1e2d3c-4444-4555-8666-777788889999", "c29uc29sZQ"],
    "winrm-clear": ["B0b!hyperv", "Gu3st!pw"],
    "xapi-clear": ["X3n!server", "B0b!xen", "OpaqueRef:5e55-root", "OpaqueRef:5e55-bob"],
}  # fmt: skip
# Keystone's own tokens and the secret that it makes for an application.
_MADE = re.compile(rb'gAAAAAB[\w-]{40,}={0,2}|(?<="secret": ")[\w-]{40,}')
# Who logged in, who was refused, and whom each action is told of.
PEOPLE = {
    "aria-clear": ({"bob@lab.test"}, {"eve@lab.test"}, {"bob@lab.test"}),
    "libvirt-clear": ({"", "bob"}, {"eve"}, {""}),
    "libvirt-tls": ({"bob", "CN=bob-laptop,O=Lab"}, {"eve"}, {"bob", "CN=bob-laptop,O=Lab"}),
    "openstack-clear": ({"admin@Default", "bob@Default"}, {"bob"},
                        {"admin@Default", "bob@Default"}),
    "ovirt-clear": ({"bob@internal"}, {"eve@internal"}, {"bob@internal"}),
    "prism-clear": ({"bob@lab.test"}, {"bob@lab.test"}, {"bob@lab.test", "admin"}),
    "proxmox-tls": ({"bob@pve"}, {"eve@pam"}, {"bob@pve", "bob@pve!terraform"}),
    "winrm-clear": ({"LAB\\bob", "bob"}, {"LAB\\eve", "eve"}, {"bob"}),
    "xapi-clear": ({"root", "bob"}, {"root"}, {"root", "bob"}),
}  # fmt: skip


def test_every_recording_is_here() -> None:
    assert set(RECORDINGS) == set(SECRETS) == set(PEOPLE)
    for name in RECORDINGS:
        assert (CAPTURES / name / "records.ndjson").stat().st_size > 0
        assert capture_of(name).stat().st_size < CAPTURE_BYTES_MAX


@pytest.mark.parametrize("name", RECORDINGS)
def test_secrets(name: str, tmp_path: Path) -> None:
    content = decompressed(capture_of(name).read_bytes())
    secrets = dict.fromkeys(SECRETS[name], "of the recording")
    secrets |= {made.decode(): "made by Keystone" for made in set(_MADE.findall(content))}
    said = everything_said(capture_of(name), tmp_path, *key_options(name, tmp_path))
    assert_silent(said, secrets)
    if material := key_material(tls_secrets_of(name)):
        assert all(key_leaks(each, material) == [] for each in said.values())
    else:  # in clear: the search would have found every one
        assert [each for each in secrets if not leaks(content, {each: ""})] == []


@pytest.mark.parametrize("name", RECORDINGS)
def test_people(name: str, tmp_path: Path) -> None:
    records = replayed(name, tmp_path)
    logins = [record for record in records if record["kind"] == "login"]
    entered, refused, acted = (
        {record["hop"].get("user", "") for record in chosen}
        for chosen in (
            [login for login in logins if login["outcome"] == "success"],
            [login for login in logins if login["outcome"] == "failure"],
            [record for record in records if record["kind"] == "action"],
        )
    )
    assert (entered, refused, acted) == PEOPLE[name]
