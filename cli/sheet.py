"""A sheet of coupons as a PDF: twelve on a page of A4, each with a QR code, to be cut along the lines.

The QR codes are made by segno (optional); the PDF around them is rectangles and text in the fonts every reader has,
which is less than a library for it would take.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aitoken.errors import Unavailable
from cli.exits import BadInput

PAGE: Final = 595, 842
"""A4 in points."""
COLUMNS: Final = 3
ROWS: Final = 4
CODE_POINTS: Final = 132
"""47 mm: a module of the densest code is half a millimetre, which phones read from paper."""
MASK: Final = 3
"""Finding the best of eight masks takes nearly all the time; codes are as good as random, so all are alike."""
QUIET: Final = 4
"""Modules of white around a code, as the standard asks."""
PER_PAGE: Final = COLUMNS * ROWS


class NeedsSegno(Unavailable):
    """QR codes are made by segno, which is not installed: pip install 'aitoken-node[coupons]'."""

    code = "coupon.needs_segno"


@dataclass(frozen=True, slots=True)
class Slip:
    """One coupon on the sheet.

    Attributes:
        link: what the QR code says.
        lines: the text below it; the first is bold.
    """

    link: str
    lines: tuple[str, ...]


def rows_of(link: str) -> list[bytes]:
    """The modules of a QR code, a byte each, row by row without the white around it.

    Raises:
        NeedsSegno: the library is missing.
    """
    try:
        import segno
    except ImportError:
        raise NeedsSegno from None
    return [bytes(row) for row in segno.make_qr(link, error="l", boost_error=False, mask=MASK).matrix]


def sheet(slips: Sequence[Slip]) -> bytes:
    """Return the PDF."""
    pages = [_page(slips[at : at + PER_PAGE]) for at in range(0, len(slips), PER_PAGE)]
    first = 5
    kids = " ".join(f"{first + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
    ]
    for at, content in enumerate(pages):
        packed = zlib.compress(content)
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {PAGE[0]} {PAGE[1]}] /Contents {first + 2 * at + 1} 0 R "
            "/Resources << /Font << /F 3 0 R /B 4 0 R >> >> >>".encode(),
            f"<< /Length {len(packed)} /Filter /FlateDecode >>\nstream\n".encode() + packed + b"\nendstream",
        ]
    return _file(objects)


def _file(objects: Sequence[bytes]) -> bytes:
    """Put numbered objects and the table of where they are into a file."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _page(slips: Sequence[Slip]) -> bytes:
    width, height = PAGE[0] / COLUMNS, PAGE[1] / ROWS
    parts = [b"0.7 G 0.3 w [3 3] 0 d\n"]
    parts += [f"{width * at:.2f} 0 m {width * at:.2f} {PAGE[1]} l S\n".encode() for at in range(1, COLUMNS)]
    parts += [f"0 {height * at:.2f} m {PAGE[0]} {height * at:.2f} l S\n".encode() for at in range(1, ROWS)]
    for at, slip in enumerate(slips):
        left, top = width * (at % COLUMNS), PAGE[1] - height * (at // COLUMNS)
        parts += _code(rows_of(slip.link), left + (width - CODE_POINTS) / 2, top - 10)
        for line, text in enumerate(slip.lines):
            parts.append(_text(text, left + 16, top - 20 - CODE_POINTS - 12 * line, width - 32, bold=line == 0))
    return b"".join(parts)


def _code(rows: Sequence[bytes], left: float, top: float) -> Iterator[bytes]:
    """Draw dark modules, a rectangle for each run of them."""
    size = CODE_POINTS / (len(rows) + 2 * QUIET)
    yield b"0 g\n"
    for down, row in enumerate(rows):
        at = 0
        while at < len(row):
            end = at
            while end < len(row) and row[end]:
                end += 1
            if end > at:
                x, y = left + (QUIET + at) * size, top - (QUIET + down + 1) * size
                yield f"{x:.3f} {y:.3f} {(end - at) * size:.3f} {size:.3f} re\n".encode()
            at = end + 1
    yield b"f\n"


def _text(text: str, x: float, y: float, width: float, *, bold: bool) -> bytes:
    """Write a line, smaller where it is long."""
    try:
        raw = text.encode("cp1252")
    except UnicodeEncodeError:
        raise BadInput(f"{text!r} has letters that the sheet's font does not: use Latin ones") from None
    size = min(11.0 if bold else 8.0, 1.75 * width / max(1, len(text)))
    safe = raw.replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"BT /%b %.2f Tf %.2f %.2f Td (%b) Tj ET\n" % (b"B" if bold else b"F", size, x, y, safe)
