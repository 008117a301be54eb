"""Trees out of XML and JSON: local names, cut and hostile bodies."""

import pytest

from decoders import jsontree, xml
from decoders.message import DecodeError


def test_prefixes_drop_and_xsi_type_stays_apart() -> None:
    root = xml.parse(
        b'<a:r xmlns:a="u" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        b'<a:v type="VirtualMachine" i:type="a:ManagedObjectReference">vm-1</a:v></a:r>'
    )
    value = root.at("v")
    assert root.name == "r"
    assert (value.attributes["type"], value.xsi_type) == (
        "VirtualMachine",
        "ManagedObjectReference",
    )
    assert root.value("v") == "vm-1"


def test_undeclared_prefix_is_read_all_the_same() -> None:
    assert xml.parse(b"<x:a><x:b>1</x:b></x:a>").value("b") == "1"


def test_what_is_missing_is_empty_and_false() -> None:
    root = xml.parse(b"<a><b/></a>")
    assert not root.at("c")
    assert root.at("c", "d").text == ""
    assert root.value("b", "c") == ""
    assert root.values("c") == ()


def test_entities_cdata_and_white_space() -> None:
    assert xml.parse(b"<a> x &amp; &#x79;<![CDATA[<z>]]> </a>").value() == "x & y<z>"


@pytest.mark.parametrize("cut", range(1, 60))
def test_cut_body_gives_what_was_whole(cut: int) -> None:
    body = b"<e><user>bob</user><task type='Task'>task-12345</task></e>    "
    root = xml.parse(body[:cut])
    assert root.value("user") in ("", "bob")
    assert root.value("task") in ("", "task-12345")
    assert root.value("user") == ("bob" if cut >= body.index(b"</user>") + 7 else "")


def test_cut_text_longer_than_expats_buffer_is_dropped() -> None:
    assert xml.parse(b"<e><user>" + b"b" * 100_000).value("user") == ""


def test_cut_text_is_not_its_parents_either() -> None:
    root = xml.parse(b"<e>about <user>bo")
    assert (root.text, root.value("user")) == ("about ", "")


def test_what_follows_an_error_is_not_read() -> None:
    root = xml.parse(b"<e><user>bob</user><<<task>task-1</task></e>")
    assert root.value("user") == "bob"
    assert root.value("task") == ""


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE a><a/>",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    ],
)
def test_document_type_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        xml.parse(body)


def test_depth_is_bounded() -> None:
    fine = b"<a>" * xml.DEPTH_MAX + b"</a>" * xml.DEPTH_MAX
    assert xml.parse(fine).name == "a"
    with pytest.raises(DecodeError):
        xml.parse(b"<a>" * (xml.DEPTH_MAX + 1))


def test_elements_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml, "ELEMENTS_MAX", 10)
    root = xml.parse(b"<a>" + b"<b/>" * 100 + b"</a>")
    assert len(root.children) == 9


@pytest.mark.parametrize("body", [b"", b"   ", b"no xml", b"<", b"\xff\xfe", b"{}"])
def test_no_start_tag_is_an_empty_element(body: bytes) -> None:
    assert not xml.parse(body)


def test_encodings() -> None:
    assert xml.parse("<a>\u00fc</a>".encode("utf-16")).value() == "\u00fc"
    latin = b'<?xml version="1.0" encoding="iso-8859-1"?><a>\xfc</a>'
    assert xml.parse(latin).value() == "\u00fc"
    assert not xml.parse(b'<?xml version="1.0" encoding="no-such"?><a/>')


def test_repr_shows_no_text() -> None:
    assert "s3cret" not in repr(xml.parse(b"<password>s3cret</password>"))


def test_json_objects_lists_references_and_boxes() -> None:
    root = jsontree.parse(
        b'{"_typeName":"TaskInfo","state":"success","n":[{"a":1},{"a":true}],"none":null,'
        b'"entity":{"_typeName":"ManagedObjectReference","type":"Folder","value":"group-1"},'
        b'"boxed":{"_typeName":"string","_value":"text"}}'
    )
    assert root.xsi_type == "TaskInfo"
    assert [child.value("a") for child in root.all("n")] == ["1", "true"]
    assert (root.at("entity").attributes["type"], root.value("entity")) == ("Folder", "group-1")
    assert root.value("boxed") == "text"
    assert root.value("none") == ""


def test_json_that_is_none_and_json_too_deep() -> None:
    assert not jsontree.parse(b"{")
    assert not jsontree.parse(b"\xff")
    assert jsontree.parse(b'"token"').text == "token"
    with pytest.raises(DecodeError):
        jsontree.parse(b"[" * 100_000)


def test_json_lone_surrogate_is_replaced() -> None:
    assert jsontree.parse(b'"a\\ud800b"').text == "a?b"
