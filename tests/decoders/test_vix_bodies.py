"""The path that opening a VM names is sought: where it may stand, and at what cost."""

import time

import pytest

from decoders.vix_bodies import configuration_file, machine_of
from decoders.vix_opcodes import OPEN_VM

PATH = b"/vmfs/volumes/5f3c2a1b-9d8e7f60/web 01/web.01.vmx"


@pytest.mark.parametrize(
    "body", [PATH, PATH + b"\0", b"\0\0\0\0" + PATH + b"\0\1\0", b"a\nb\n" + PATH]
)
def test_the_path_wherever_it_stands(body: bytes) -> None:
    assert configuration_file(OPEN_VM, body) == PATH.decode()


@pytest.mark.parametrize(
    "path",
    [PATH.decode(), "C:\\VMs\\web\\web.01.vmx", "[ds 1] web.01.vmx", "[ds] [x] web.01", "web.01"],
)
def test_a_machine_is_named_as_its_files_are(path: str) -> None:
    assert machine_of(path).name == "web.01"


@pytest.mark.parametrize("body", [b"", b"web.vmxf\0", b"web.vmx2\0", b"w\xff.vmx\0"])
def test_what_is_no_path(body: bytes) -> None:
    assert configuration_file(OPEN_VM, body) == ""
    assert configuration_file(OPEN_VM + 1, PATH) == ""


def test_a_body_without_one_costs_no_more_than_its_length() -> None:
    body = b"a" * 60_000 + b"b.vmx "
    began = time.process_time()
    for _ in range(100):
        assert configuration_file(OPEN_VM, body) == ""
        assert len(configuration_file(OPEN_VM, body[:-1])) <= 1024
    assert time.process_time() - began < 1.0  # a try from every byte takes a minute
