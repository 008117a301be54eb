"""[[sink]]: what contradicts itself is one line with file, line and key, and shows no secret."""

from dataclasses import fields
from pathlib import Path

import pytest

from exporters.formats.registry import FORMATS as REGISTERED
from sensor import config
from sensor.exits import ConfigError
from sensor.sink_settings import SinkSettings, secret_of, split_receivers
from sensor.sink_types import (
    FORMATS,
    FORMATS_OF,
    KEYS_OF,
    KEYS_OF_ALL,
    TYPES,
    USUAL_FORMAT,
    USUAL_TOPIC,
)
from tests.command import hoptap

RELP = '[[sink]]\nid = "a"\ntype = "relp"\nto = "siem.example.org:2514"\n'
HEC = '[[sink]]\nid = "a"\ntype = "hec"\nto = "https://siem.example.org:8088"\ntoken_file = "/t"\n'


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "hoptap.toml")
    return [line.removeprefix("hoptap.toml:") for line in caught.value.lines]


def test_the_usual_values_of_a_type() -> None:
    text = RELP + HEC.replace('"a"', '"b"').replace("8088", "8088/x")
    relp, hec = config.parse(text, "hoptap.toml").sink
    assert (relp.format_name, hec.format_name) == ("rfc5424", "splunk")
    assert (relp.topic_name, hec.topic_name) == ("", "")
    assert (relp.uses_tls, hec.uses_tls) == (False, True)
    assert relp.spool_bytes_max == 1 << 30
    text = '[[sink]]\nid = "a"\ntype = "kafka"\nto = "a:9092, [fd00::1]:9092"\ntopic = "t"\n'
    [kafka] = config.parse(text, "hoptap.toml").sink
    assert split_receivers(kafka.to) == [("a", 9092), ("fd00::1", 9092)]
    assert (kafka.format_name, kafka.topic_name) == ("hop", "t")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[[sink]]", "1: sink: needs an id"),
        ('[[sink]]\nid = "a"', "1: sink: needs type"),
        ('[[sink]]\nid = "a"\ntype = "relp"', "1: sink: needs to"),
        (
            '[[sink]]\nid = "a b"\n',
            "2: sink.id: 'a b' is no id: up to 64 letters, digits, - and _",
        ),
        ('[[sink]]\nid = "history"\n', "2: sink.id: 'history' is the sensor's own"),
        (
            RELP.replace('"relp"', '"splunk"'),
            f"3: sink.type: 'splunk' is none of {', '.join(TYPES)}",
        ),
        (RELP + 'protocl = "tcp"', "5: sink.protocl: unknown key; did you mean protocol?"),
        (RELP + 'protocol = "udp"', "5: sink.protocol: means nothing for relp"),
        (RELP + 'tls_ca_file = "/ca"', "5: sink.tls_ca_file: means nothing without tls = true"),
        (
            RELP.replace("relp", "syslog") + 'tls_name = "x"',
            '5: sink.tls_name: means nothing without protocol = "tls"',
        ),
        (HEC.replace("https", "http") + 'tls_name = "x"', "6: sink.tls_name: means nothing "
         "without https"),
        (RELP + 'tls = true\ntls_key_file = "/k"', "6: sink.tls_key_file: needs tls_cert_file"),
        (
            RELP + 'format = "msgpack"',
            f"5: sink.format: relp does not take msgpack, but {', '.join(FORMATS_OF['relp'])}",
        ),
        (
            HEC.replace("hec", "elasticsearch") + 'format = "cef"',
            "6: sink.format: elasticsearch does not take cef, "
            f"but {', '.join(FORMATS_OF['elasticsearch'])}",
        ),
        (RELP.replace(":2514", ""), "4: sink.to: 'siem.example.org' is not HOST:PORT"),
        (RELP.replace("2514", "70000"), "4: sink.to: 'siem.example.org:70000' is not HOST:PORT"),
        (
            RELP.replace("siem", "https://siem"),
            "4: sink.to: 'https://siem.example.org:2514' is a URL; this type takes HOST:PORT",
        ),
        (RELP.replace("siem.example.org", "fd00::1"), "4: sink.to: 'fd00::1:2514': an IPv6 "
         "address is written in brackets, [fd00::1]:514"),
        (RELP.replace("2514", "1, b:2"), "4: sink.to: relp has one receiver; "
         "make a [[sink]] for each"),
        (HEC.replace("https:", "ftp:"), "4: sink.to: 'ftp://siem.example.org:8088' is no URL "
         "of http or https"),
        (HEC.replace("siem.example.org:8088", ""), "4: sink.to: 'https://' names no host"),
        (HEC.replace("8088", "x"), "4: sink.to: 'https://siem.example.org:x': Port could not be "
         "cast to integer value as 'x'"),
        (
            HEC.replace("siem", "user:SECRET@siem"),
            "4: sink.to: names an account: give it as username and password_file, or token_file",
        ),
        (RELP.replace("relp", "file"), "4: sink.to: 'siem.example.org:2514' is no path from /"),
        (HEC.replace('token_file = "/t"', ""), "1: sink: needs token_file"),
        (
            RELP.replace("relp", "forward") + 'username = "u"',
            "5: sink.username: needs password_file",
        ),
        (
            RELP.replace("relp", "nats") + 'password_file = "/p"',
            "5: sink.password_file: needs username",
        ),
        (
            HEC.replace("hec", "elasticsearch") + 'username = "u"\npassword_file = "/p"',
            "5: sink.token_file: and username: one of them",
        ),
        (RELP + 'kinds = ["logon"]', "5: sink.kinds: 'logon' is none of login, logout, action, "
         "chain, alert, gap"),
        (RELP + 'services = ["vcenter"]', "5: sink.services: 'vcenter' is no service: "
         "two or three capitals"),
        (RELP + 'pseudonymize = ["name"]', "5: sink.pseudonymize: 'name' is none of user, ip"),
        (RELP + 'drop = ["client.agent"]', "5: sink.drop: 'client.agent' is no field of a record, "
         "as client.user_agent"),
        (RELP + 'drop = ["ts"]', "5: sink.drop: ts is what receivers know a record by"),
        (RELP + RELP, "6: sink.id: 'a' names two sinks"),
        (
            '[[sink]]\nid = "a"\ntype = "file"\nto = "/f"\n' * 2,
            "4: sink.to: /f is the file of two sinks",
        ),
        *(
            (
                f'[sensor]\ndata_dir = "/d"\n[evidence]\nfile = "/e"\n'
                f'[[sink]]\nid = "a"\ntype = "file"\nto = "{path}"\n',
                f"8: sink.to: {path} is the sensor's own",
            )
            for path in ("/d/hop.ndjson", "/d/x/../history.db", "/e")
        ),
        ("[sink]\nid = 'a'", "1: sink: must be sections, [[sink]]"),
    ],
)  # fmt: skip
def test_each_problem_is_one_line_with_file_line_and_key(text: str, line: str) -> None:
    found = problems(text)
    assert line in found
    assert "SECRET" not in "".join(found)


def test_a_key_that_means_nothing_is_said_once() -> None:
    assert problems(RELP + 'username = "u"\n') == ["5: sink.username: means nothing for relp"]


@pytest.mark.parametrize(
    "path", ["extra", "extra.anything", "client", "client.user_agent", "op.class", "from.user",
             "hop.evidence", "tls.sni", "guest_user"]
)  # fmt: skip
def test_what_may_be_dropped(path: str) -> None:
    [sink] = config.parse(RELP + f'drop = ["{path}"]', "hoptap.toml").sink
    assert sink.drop == (path,)


def test_the_tables_of_types_are_whole() -> None:
    keys = {each.name for each in fields(SinkSettings)}
    assert KEYS_OF_ALL.union(*KEYS_OF.values()) == keys
    assert set(FORMATS_OF) == set(USUAL_FORMAT) == set(KEYS_OF)
    assert set(USUAL_TOPIC) < set(KEYS_OF)
    assert set(FORMATS) == set(REGISTERED) | {"otlp"}
    for name, formats in FORMATS_OF.items():
        assert USUAL_FORMAT[name] in formats and set(formats) <= set(FORMATS)


def file_line(tmp_path: Path, name: str) -> str:
    """What is wrong with the file that a sink names."""
    text = HEC.replace("/t", str(tmp_path / name)) + f'[sensor]\ndata_dir = "{tmp_path}"\n'
    path = tmp_path / "hoptap.toml"
    path.write_text(text)
    done = hoptap("send-test", "-c", path, exit_code=3)
    [line] = done.stderr.splitlines()
    return line.removeprefix(f"hoptap: error: {path}:5: sink.token_file: ")


def test_a_secret_is_in_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert file_line(tmp_path, "none") == f"{tmp_path}/none: No such file or directory"
    token.write_text("")
    token.chmod(0o600)
    assert file_line(tmp_path, "token") == f"{token} is empty"
    token.write_text("SECRET\n")
    token.chmod(0o644)
    line = file_line(tmp_path, "token")
    assert line == f"{token}: mode 0644 lets others read it; chmod o-r {token}"
    assert file_line(tmp_path, "") == f"{tmp_path}: Is a directory"


def test_a_key_inside_a_certificate_file_is_a_secret(tmp_path: Path) -> None:
    certificate, path = tmp_path / "c.pem", tmp_path / "hoptap.toml"
    certificate.write_text("x")
    text = RELP + f'tls = true\ntls_cert_file = "{certificate}"\n'
    path.write_text(text)
    line = f"{path}:6: sink.tls_cert_file: {certificate}: mode 0644 lets others read it; "
    certificate.chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        config.load(path, sinks=True)
    assert caught.value.lines == (f"{line}chmod o-r {certificate}",)
    assert config.load(path).sink  # who does not use the sinks need not be able to read it
    path.write_text(text + f'tls_key_file = "{tmp_path}/k.pem"\n')
    (tmp_path / "k.pem").write_text("x")
    (tmp_path / "k.pem").chmod(0o600)
    assert config.load(path, sinks=True).sink


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(" s3cret \nnotes\n")
    assert secret_of(str(path)) == "s3cret"
    assert secret_of("") == ""
