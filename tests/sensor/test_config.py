"""Configuration: every problem names file, line and key; what is accepted has the right type."""

import dataclasses
import re
from pathlib import Path

import pytest

from sensor import _core, config
from sensor.exits import ConfigError
from sensor.service_settings import ServiceSettings
from sensor.settings import MIB, Settings, check_listen, split_listen

ROOT = Path(__file__).parents[2]
GIVEN = {("service", "id"), ("sink", "id"), ("sink", "type"), ("tap", "id")}  # have no default


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "hoptap.toml")
    return list(caught.value.lines)


def test_an_empty_file_is_all_defaults() -> None:
    assert config.parse("", "hoptap.toml") == Settings()


def test_values_reach_their_settings() -> None:
    settings = config.parse(
        """
        [capture]
        interfaces = ["eth0", "eth1"]
        ports = [443, 902]
        promiscuous = false
        [limits]
        memory_bytes_max = 1_073_741_824
        [status]
        listen = "[::1]:9798"
        [sites]
        trusted_proxies = ["10.0.0.0/8", "fd00::/8"]
        [[service]]
        id = "VC"
        addresses = ["10.0.0.5", "vc.example.org"]
        [[service]]
        id = "VCD"
        accounts = ["vCloudService"]
        """,
        "hoptap.toml",
    )
    assert settings.capture.interfaces == ("eth0", "eth1")
    assert settings.capture.ports == (443, 902)
    assert settings.capture.promiscuous is False
    assert settings.limits.memory_bytes_max == 1024 * MIB
    assert settings.sites.trusted_proxies == ("10.0.0.0/8", "fd00::/8")
    assert settings.service == (
        ServiceSettings("VC", ("10.0.0.5", "vc.example.org")),
        ServiceSettings("VCD", accounts=("vCloudService",)),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[captur]", "hoptap.toml:1: captur: unknown section; did you mean capture?"),
        ("colour = 1", "hoptap.toml:1: colour: unknown key outside any section"),
        ("capture = 1", "hoptap.toml:1: capture: must be a section, [capture]"),
        (
            "[capture]\n\nworker = 2",
            "hoptap.toml:3: capture.worker: unknown key; did you mean workers?",
        ),
        ("[history]\nenabled = 1", "hoptap.toml:2: history.enabled: must be true or false, not 1"),
        (
            "[limits]\nflows_max = '9'",
            "hoptap.toml:2: limits.flows_max: must be a whole number, not '9'",
        ),
        (
            "[limits]\nflows_max = true",
            "hoptap.toml:2: limits.flows_max: must be a whole number, not true",
        ),
        ("[limits]\nflows_max = 1", "hoptap.toml:2: limits.flows_max: 1 is below 16"),
        ("[capture]\nworkers = 65", "hoptap.toml:2: capture.workers: 65 is above 64"),
        (
            "[capture]\nports = [443, 'x']",
            "hoptap.toml:2: capture.ports: must be a list of whole numbers, not [443, 'x']",
        ),
        ("[capture]\nports = [0]", "hoptap.toml:2: capture.ports: 0 is below 1"),
        (
            "[capture]\ninterfaces = ['eth/0']",
            "hoptap.toml:2: capture.interfaces: 'eth/0' is no interface name",
        ),
        (
            "[capture]\ninterfaces = ['a', 'a']",
            "hoptap.toml:2: capture.interfaces: names an interface twice",
        ),
        (
            "[output]\nfsync = 'sometimes'",
            "hoptap.toml:2: output.fsync: 'sometimes' is none of never, interval, always",
        ),
        (
            "[status]\nlisten = '::1:9798'",
            "hoptap.toml:2: status.listen: '::1:9798': "
            "an IPv6 address is written in brackets, [::1]:9798",
        ),
        (
            "[sites]\ntrusted_proxies = ['10.0.0.1/8']",
            "hoptap.toml:2: sites.trusted_proxies: 10.0.0.1/8 has host bits set",
        ),
        (
            "[sites]\nservices = { '10.0.0.5' = 'VC' }",
            "hoptap.toml:2: sites.services: is now a [[service]] with id and addresses",
        ),
        (
            "[sites.services]\n'10.0.0.5' = 'VC'",
            "hoptap.toml:1: sites.services: is now a [[service]] with id and addresses",
        ),
        (
            "[sites]\nservice_accounts = ['vCloudService']",
            "hoptap.toml:2: sites.service_accounts: is now accounts of a [[service]]",
        ),
        (
            "[[service]]\nid = 'vcenter'",
            "hoptap.toml:2: service.id: 'vcenter' is no service: two or three capitals",
        ),
        (
            "[[service]]\nid = 'VC'\n[[service]]\nid = 'VCD'\naddresses = ['vc1']",
            "hoptap.toml:5: service.addresses: 'vc1' is no address, network or host name "
            "in lower case, as vc.example.org",
        ),
        (
            "[[service]]\nid = 'VC'\naddresses = ['10.0.0.1/8']",
            "hoptap.toml:3: service.addresses: 10.0.0.1/8 has host bits set",
        ),
        ("[[service]]\nid = 'VC'\n[[service]]", "hoptap.toml:3: service: needs an id"),
        ("[service]\nid = 'VC'", "hoptap.toml:1: service: must be sections, [[service]]"),
        ("[[tap]]\nid = 'a'", "hoptap.toml:1: tap: needs one of process, pid and library"),
        (
            "[[tap]]\nid = 'a'\nprocess = 'nginx'\npid = 7",
            "hoptap.toml:1: tap: needs one of process, pid and library",
        ),
        (
            "[[tap]]\nid = 'a'\nlibrary = '/lib/libssl.so.3'",
            "hoptap.toml:3: tap.library: reads every process that uses it: "
            "machine_wide = true is needed",
        ),
        (
            "[[tap]]\nid = 'a'\nlibrary = 'ssl'",
            "hoptap.toml:3: tap.library: 'ssl' is no path from /",
        ),
        (
            "[[tap]]\nid = 'a'\npid = 7\n[[tap]]\nid = 'a'\npid = 8",
            "hoptap.toml:5: tap.id: a is the id of another tap",
        ),
        (
            "[[tap]]\nid = 'a'\npid = 7\nmode = 'keys'",
            "hoptap.toml:4: tap.mode: keys are for decrypting packets, which keys.decrypt must "
            "allow",
        ),
        (
            "[sensor]\nuser = 'daemon'\n[[tap]]\nid = 'a'\npid = 7",
            "hoptap.toml:2: sensor.user: a tap needs its rights as long as it runs: leave this "
            "empty",
        ),
        ("[[servise]]", "hoptap.toml:1: servise: unknown section; did you mean service?"),
        (
            "[[service]]\nid = 'VC'\nadresses = []",
            "hoptap.toml:3: service.adresses: unknown key; did you mean addresses?",
        ),
        (
            "limits.stream_buffer_bytes_max = 536870912",
            "hoptap.toml:1: limits.stream_buffer_bytes_max: "
            "is above limits.memory_bytes_max (268435456)",
        ),
        *(
            (
                f"sensor.data_dir = '/d'\n{text}",
                f"hoptap.toml:{text.count(chr(10)) + 2}: {key}: {path} is the file of {first}",
            )
            for text, key, path, first in (
                (
                    "output.ndjson = '/e'\nevidence.file = '/x/../e'",
                    "evidence.file",
                    "/x/../e",
                    "output.ndjson",
                ),
                (
                    "evidence.file = '/d/hop.ndjson'",
                    "evidence.file",
                    "/d/hop.ndjson",
                    "output.ndjson",
                ),
                (
                    "history.path = '/d/hash.key'",
                    "history.path",
                    "/d/hash.key",
                    "sensor.hash_key_file",
                ),
            )
        ),
        ("[history]\npath = 'a\\u0000b'", None),
        (
            '[history]\npath = "a\\u0000b"',
            "hoptap.toml:2: history.path: must not hold a NUL character",
        ),
    ],
)
def test_each_problem_is_one_line_with_file_line_and_key(text: str, line: str | None) -> None:
    if line is None:  # a literal string keeps its backslash: nothing is wrong
        assert config.parse(text, "hoptap.toml").history.path == "a\\u0000b"
    else:
        assert problems(text) == [line]


def test_all_problems_are_found_at_once() -> None:
    found = problems("[limits]\nflows_max = 1\n[history]\nkeep_days = 0\nkep = 1")
    assert [line.split(": ")[1] for line in found] == [
        "limits.flows_max",
        "history.keep_days",
        "history.kep",
    ]


def test_a_syntax_error_names_line_and_column() -> None:
    (line,) = problems("[capture]\nworkers = = 2\n")
    assert re.fullmatch(r"hoptap\.toml:2:\d+: .+", line)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.toml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(ConfigError) as caught:
            config.load(path)
        assert caught.value.lines == (f"{path}: {reason}",)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"[sensor]\nid = '\xe9'\n")
    with pytest.raises(ConfigError) as caught:
        config.load(latin)
    assert caught.value.lines == (f"{latin}: not UTF-8 at byte 15",)


def test_limits_are_those_of_the_core() -> None:
    assert tuple(field.name for field in dataclasses.fields(Settings().limits)) == _core.LIMITS


def test_every_default_is_allowed_and_has_a_reason() -> None:
    for name, section in (config.sections() | config.lists()).items():
        for field in dataclasses.fields(section):
            assert field.metadata["reason"], f"{name}.{field.name}"
            if (name, field.name) in GIVEN:
                continue
            problem = config.field_problem(section, field.name, field.default)
            assert problem == "", f"{name}.{field.name}: {problem}"


def test_the_example_shows_every_setting_with_its_default() -> None:
    path = ROOT / "deploy/hoptap.toml"
    assert config.load(path) == Settings()
    # Commented keys are as much part of it: uncommented, they are the defaults too.
    text = re.sub(r"^#(\w+ = )", r"\1", path.read_text(), flags=re.MULTILINE)
    assert config.parse(text, "hoptap.toml") == Settings()
    for name, section in config.sections().items():
        body = re.search(rf"^\[{name}\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
        assert body, name
        shown = re.findall(r"^# (.+)\n(\w+) = ", body[1], re.MULTILINE)
        assert shown == [
            (field.metadata["reason"], field.name) for field in dataclasses.fields(section)
        ]


def test_the_example_shows_a_service_of_which_everything_is_said() -> None:
    text = (ROOT / "deploy/hoptap.toml").read_text()
    _, _, shown = text.partition("#[[service]]\n")
    settings = config.parse("[[service]]\n" + re.sub("^#  ", "", shown, flags=re.M), "example")
    [service] = settings.service
    for field in dataclasses.fields(service):
        assert getattr(service, field.name) != field.default, field.name
        assert f"#  # {field.metadata['reason']}\n#  {field.name} = " in shown


def test_the_example_shows_every_setting_of_a_tap_with_its_default() -> None:
    text = (ROOT / "deploy/hoptap.toml").read_text()
    shown = text.partition("#[[tap]]\n")[2].partition("\n\n")[0]
    settings = config.parse("[[tap]]\n" + re.sub("^#  ", "", shown, flags=re.M), "example")
    [tap] = settings.tap
    for field in dataclasses.fields(tap):
        assert f"#  # {field.metadata['reason']}\n#  {field.name} = " in shown
        if field.name not in ("id", "process"):
            assert getattr(tap, field.name) == field.default, field.name


def test_the_example_shows_every_setting_of_a_sink_with_its_default() -> None:
    text = (ROOT / "deploy/hoptap.toml").read_text()
    shown = text.partition("#[[sink]]\n")[2].partition("\n\n")[0]
    settings = config.parse("[[sink]]\n" + re.sub("^#  ", "", shown, flags=re.M), "example")
    [sink] = settings.sink
    names = []
    for field in dataclasses.fields(sink):
        names.append(field.name)
        assert f"#  # {field.metadata['reason']}\n#  {field.name} = " in text
        if field.name not in ("id", "type", "to"):
            assert getattr(sink, field.name) == field.default, field.name
    assert names == re.findall(r"^#  (\w+) = ", shown, re.M)


@pytest.mark.parametrize(
    "listen",
    ["localhost:9798", "127.0.0.1", "127.0.0.1:", ":9798", "127.0.0.1:99999", "[::1]", "x"],
)
def test_a_listen_address_is_numeric_with_a_port(listen: str) -> None:
    assert check_listen(listen) != ""


def test_a_listen_address_is_split() -> None:
    assert split_listen("127.0.0.1:0") == ("127.0.0.1", 0)
    assert split_listen("[::1]:9798") == ("::1", 9798)
