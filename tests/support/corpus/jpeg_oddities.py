"""JPEGs that are whole by their markers, and wrong or cruel in what stands between them."""

import random
from collections.abc import Iterator

from PIL import Image

from runtime.images.jpeg_header import MAX_SCANS
from tests.support.corpus.bytes_of import JPEG_END, jpeg_segment, jpeg_with, patched
from tests.support.corpus.file import DAMAGED, MENDED, NO_FACE, OK, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

FRAME = b"\xff\xc0"
SCAN = b"\xff\xda"
TABLE = b"\xff\xc4"
_FRAME_BYTES = 19
"""A frame header of three components, its marker included."""


def unread_codings(people: People) -> Iterator[CorpusFile]:
    """Kinds of frame that T.81 knows and the service does not read."""
    whole = encoded(people.gauss, "JPEG")
    frame = whole.index(FRAME)
    kinds = {"lossless": 0xC3, "hierarchical": 0xC5, "arithmetic": 0xC9, "arithmetic-progressive": 0xCA}
    for name, marker in kinds.items():
        yield entry(f"{name}.jpg", "unread JPEG coding", patched(whole, frame + 1, bytes([marker])), UNREADABLE)
    twelve_bits = patched(patched(whole, frame + 1, b"\xc1"), frame + 4, b"\x0c")
    yield entry("12-bit.jpg", "unread JPEG coding", twelve_bits, UNREADABLE)


def odd_frames(people: People) -> Iterator[CorpusFile]:
    kind = "odd JPEG frame"
    whole = encoded(people.gauss, "JPEG")
    frame = whole.index(FRAME)
    header = whole[frame : frame + _FRAME_BYTES]
    yield entry("two-frames.jpg", kind, whole.replace(header, header * 2), UNREADABLE)
    yield entry("no-frame.jpg", kind, whole.replace(header, b""), UNREADABLE)
    yield entry("no-scan.jpg", kind, whole[: whole.index(SCAN)] + JPEG_END, UNREADABLE)
    yield entry("no-components.jpg", kind, patched(whole, frame + 9, b"\x00"), UNREADABLE)
    yield entry("two-components.jpg", kind, patched(whole, frame + 9, b"\x02"), UNREADABLE)
    yield entry("255-components.jpg", kind, patched(whole, frame + 9, b"\xff"), UNREADABLE)
    yield entry("frame-cut-short.jpg", kind, whole.replace(header, jpeg_segment(0xC0, header[4:9])), UNREADABLE)
    yield entry("sampling-0x0.jpg", kind, patched(whole, frame + 11, b"\x00"), UNREADABLE)
    yield entry("sampling-15x15.jpg", kind, patched(whole, frame + 11, b"\xff"), UNREADABLE)
    # These are allowed and fit no longer what was coded: the picture is noise, or the decoder says so.
    yield entry("sampling-4x4.jpg", kind, patched(whole, frame + 11, b"\x44"), *DAMAGED)
    yield entry("sampling-3x1.jpg", kind, patched(whole, frame + 11, b"\x31"), *DAMAGED)
    yield entry("chroma-sampled-finer.jpg", kind, patched(whole, frame + 14, b"\x42"), *DAMAGED)
    yield entry("table-that-is-not-there.jpg", kind, patched(whole, frame + 12, b"\x03"), UNREADABLE)


def odd_scans(people: People) -> Iterator[CorpusFile]:
    kind = "odd JPEG scans"
    progressive = encoded(people.gauss, "JPEG", progressive=True)
    yield entry("as-many-scans-as-allowed.jpg", kind, with_scans(progressive, MAX_SCANS), OK)
    yield entry("one-scan-too-many.jpg", kind, with_scans(progressive, MAX_SCANS + 1), UNREADABLE)
    flat = encoded(Image.new("L", (7_000, 7_000), 128), "JPEG", progressive=True)
    yield entry("49-megapixels-in-100-scans.jpg", kind, with_scans(flat, 100), UNREADABLE)
    yield entry("49-megapixels-in-20-scans.jpg", kind, with_scans(flat, 20), NO_FACE)
    tiny = encoded(Image.new("RGB", (64, 64), (90, 90, 90)), "JPEG", progressive=True)
    yield entry("64-pixels-in-90-scans.jpg", kind, with_scans(tiny, 90), NO_FACE)
    yield entry("64-pixels-in-5000-scans.jpg", kind, with_scans(tiny, 5_000), UNREADABLE)
    whole = encoded(people.gauss, "JPEG")
    scan = whole.index(SCAN)
    yield entry("scan-of-no-components.jpg", kind, patched(whole, scan + 4, b"\x00"), UNREADABLE)
    yield entry("scan-of-unknown-component.jpg", kind, patched(whole, scan + 5, b"\x63"), UNREADABLE)
    yield entry("baseline-coded-as-progressive.jpg", kind, whole.replace(FRAME, b"\xff\xc2"), UNREADABLE)


def with_scans(progressive: bytes, count: int) -> bytes:
    """Returns the JPEG with its last scan again and again, up to so many scans."""
    last = progressive.rindex(SCAN)
    again = progressive[last:-2]
    return progressive[:-2] + again * (count - progressive.count(SCAN)) + JPEG_END


def odd_tables(people: People) -> Iterator[CorpusFile]:
    kind = "odd JPEG tables"
    whole = encoded(people.gauss, "JPEG")
    table = whole.index(TABLE)
    code_counts = bytearray(whole[table + 5 : table + 21])
    random.Random(5).shuffle(code_counts)
    yield entry("huffman-shuffled.jpg", kind, patched(whole, table + 5, bytes(code_counts)), *DAMAGED)
    yield entry("huffman-overfull.jpg", kind, patched(whole, table + 5, b"\xff" * 16), UNREADABLE)
    yield entry("huffman-classes-swapped.jpg", kind, patched(whole, table + 4, b"\x10"), *DAMAGED)
    yield entry("huffman-class-9.jpg", kind, patched(whole, table + 4, b"\x90"), UNREADABLE)
    yield entry("no-huffman-tables.jpg", kind, _without(whole, 0xC4), *DAMAGED)
    yield entry("no-quantization-tables.jpg", kind, _without(whole, 0xDB), UNREADABLE)
    quantization = whole.index(b"\xff\xdb")
    yield entry("quantization-zeros.jpg", kind, patched(whole, quantization + 5, bytes(64)), *DAMAGED)


def _without(data: bytes, marker: int) -> bytes:
    """Returns the JPEG without the segments of this marker."""
    position, kept = 2, data[:2]
    while data[position + 1] != SCAN[1]:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] != marker:
            kept += data[position:end]
        position = end
    return kept + data[position:]


def odd_restarts(people: People) -> Iterator[CorpusFile]:
    kind = "odd JPEG restarts"
    rows = encoded(people.gauss, "JPEG", restart_marker_rows=1)
    scan = rows.index(SCAN) + 14
    numbers = random.Random(7)
    shuffled = bytearray(rows)
    for position in range(scan, len(rows) - 2):
        if rows[position] == 0xFF and rows[position + 1] & 0xF8 == 0xD0:
            shuffled[position + 1] = 0xD0 + numbers.randrange(8)
    yield entry("restarts-shuffled.jpg", kind, bytes(shuffled), *DAMAGED)
    first = rows.index(b"\xff\xd0", scan)
    garbage = numbers.randbytes(2_000).replace(b"\xff", b"\xfe")
    yield entry("restart-then-garbage.jpg", kind, rows[: first + 2] + garbage + rows[first + 2 :], *DAMAGED)
    storm = b"".join(bytes((0xFF, 0xD0 + place % 8)) for place in range(200_000))
    yield entry("restart-storm.jpg", kind, rows[:first] + storm + rows[first:], *DAMAGED)
    yield entry("fill-bytes-storm.jpg", kind, rows[:-2] + b"\xff" * 2_000_000 + JPEG_END, *MENDED)


def jpeg_trailers(people: People) -> Iterator[CorpusFile]:
    """What phones append, and what nobody should."""
    kind = "JPEG with a trailer"
    whole = encoded(people.gauss, "JPEG")
    motion = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42" + random.Random(9).randbytes(300_000)
    yield entry("motion-photo.jpg", kind, whole + motion, OK)
    yield entry("two-photos.jpg", kind, whole + encoded(people.newton, "JPEG"), OK)
    yield entry("trailing-zeros.jpg", kind, whole + bytes(3_000_000), OK)
    yield entry("one-trailing-byte.jpg", kind, whole + b"\x00", OK)
    comments = (jpeg_segment(0xFE, b"c" * 10),) * 100_000
    yield entry("100000-comments.jpg", kind, jpeg_with(whole, *comments), UNREADABLE)
    markers = b"\xff\xd0" * 5_000_000
    yield entry("5-million-markers.jpg", kind, whole[:2] + markers + whole[2:], UNREADABLE)
