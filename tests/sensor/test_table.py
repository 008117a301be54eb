"""Tables fit the terminal, lose nothing, and cannot be used to steer it."""

import pytest

from sensor.table import Column, cell_width, fit, lines_of, printable, table, wrap

COLUMNS = (Column("WHO", shrinks=1, breaks=":"), Column("N", right=True))


def test_a_table_is_as_wide_as_its_widest_cells() -> None:
    lines = list(table(COLUMNS, [("VCD:bob", "1"), ("VC:eve@acme", "23")], None))
    assert lines == [
        "WHO           N",
        "VCD:bob       1",
        "VC:eve@acme  23",
    ]


def test_a_narrow_terminal_wraps_the_column_that_gives_way() -> None:
    rows = [("VCD:bob@acme:VC:vCloudService:ESX:vpxuser", "1"), ("VC:eve", "2")]
    lines = list(table(COLUMNS, rows, 24))
    assert lines == [
        "WHO                    N",
        "VCD:bob@acme:VC:       1",
        "vCloudService:ESX:",
        "vpxuser",
        "VC:eve                 2",
    ]
    assert max(map(cell_width, lines)) <= 24


def test_no_column_shrinks_to_nothing() -> None:
    assert fit(COLUMNS, [("x" * 50, "1")], 3) == [10, 1]
    assert fit((Column("fixed"),), [("x" * 50,)], 3) == [50]
    assert fit((Column("a", shrinks=2), Column("b", shrinks=1)), [("x" * 90, "x" * 90)], 62) == [
        40,
        20,
    ]


@pytest.mark.parametrize("width", range(1, 20))
def test_wrapping_loses_nothing_and_fits(width: int) -> None:
    text = "VCD:bob@acme:VC:名前:ESX:vpx user"
    pieces = wrap(text, width, ":")
    assert "".join(pieces) == text
    assert all(cell_width(piece) <= max(width, 2) for piece in pieces)


def test_wide_and_combining_characters_count_as_shown() -> None:
    assert cell_width("名前") == 4
    assert cell_width("e\u0301") == 1
    lines = list(lines_of((Column("a"), Column("b")), [4, 1], ["名", "x"]))
    assert lines == ["名    x"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("web-1", "web-1"),
        ("Zoë 名前", "Zoë 名前"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),  # C1 control sequence introducer
        ("user\u202egnp.exe", r"user\u202egnp.exe"),  # right-to-left override
        ("\udce9", r"\udce9"),
    ],
)
def test_text_of_the_network_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    (_, line) = table((Column("x"),), [(text,)], None)
    assert line == shown
