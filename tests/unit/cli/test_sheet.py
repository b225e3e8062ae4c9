"""A sheet of coupons: every module of every code is on paper, and nothing else is needed to read the file."""

from __future__ import annotations

import re
import sys
import zlib

import pytest

from cli.exits import BadInput
from cli.sheet import CODE_POINTS, COLUMNS, PAGE, PER_PAGE, NeedsSegno, Slip, rows_of, sheet

LINK = "https://example.org/claim#" + "Ab3_-" * 60
RECTANGLE = re.compile(rb"([0-9.]+) ([0-9.]+) ([0-9.]+) ([0-9.]+) re")


def pages_of(pdf: bytes) -> list[bytes]:
    return [zlib.decompress(packed) for packed in re.findall(rb"stream\n(.*?)\nendstream", pdf, re.DOTALL)]


def test_twelve_coupons_are_on_a_page_and_the_rest_on_the_next() -> None:
    pdf = sheet([Slip(LINK, ("Welcome", f"no. {at}")) for at in range(PER_PAGE + 1)])
    first, second = pages_of(pdf)

    assert first.count(b"(Welcome)") == PER_PAGE
    assert second.count(b"(Welcome)") == 1
    assert b"/Count 2" in pdf


def test_the_dark_modules_of_a_code_are_drawn_where_they_are() -> None:
    (page,) = pages_of(sheet([Slip(LINK, ())]))
    rows = rows_of(LINK)
    found = [tuple(map(float, each)) for each in RECTANGLE.findall(page)]
    size = found[0][3]
    white = (PAGE[0] / COLUMNS - CODE_POINTS) / 2
    left, top = min(x for x, *_ in found), max(y for _, y, *_ in found)
    drawn = {
        (int((top - y) / size + 0.5), int((x - left) / size + 0.5) + at)
        for x, y, width, _ in found
        for at in range(int(width / size + 0.5))
    }

    assert left == pytest.approx(white + 4 * size, abs=0.01), "four modules of white"
    assert drawn == {(down, at) for down, row in enumerate(rows) for at, dark in enumerate(row) if dark}


def test_every_object_is_where_the_table_says() -> None:
    pdf = sheet([Slip("x", ("(a) \\ b",))])
    start = int(re.search(rb"startxref\n(\d+)", pdf)[1])  # type: ignore[index]  # none fails the test
    places = [int(place) for place in re.findall(rb"(\d{10}) 00000 n ", pdf[start:])]

    assert pdf[start:].startswith(b"xref\n0 7\n")
    assert [pdf[place:].split(b" ", 1)[0] for place in places] == [b"%d" % number for number in range(1, 7)]
    assert rb"(\(a\) \\ b)" in pages_of(pdf)[0]


def test_letters_the_font_lacks_are_refused_before_anything_is_written() -> None:
    with pytest.raises(BadInput, match="Latin"):
        sheet([Slip("x", ("日本",))])


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)

    with pytest.raises(NeedsSegno) as missing:
        sheet([Slip("x", ())])

    assert missing.value.code == "coupon.needs_segno"
    assert "aitoken-node[coupons]" in (type(missing.value).__doc__ or "")
