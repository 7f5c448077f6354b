"""A real photo in three formats, cut off or with single bits turned over."""

import random
from collections.abc import Iterator

from tests.support.corpus.file import DAMAGED, UNREADABLE, CorpusFile, entry
from tests.support.corpus.people import People
from tests.support.photos import encoded

_FORMS = (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"))
_FLIPPED_COPIES = 6


def truncated(people: People) -> Iterator[CorpusFile]:
    for form, ending in _FORMS:
        whole = encoded(people.gauss, form)
        places = {"header": 30, "quarter": len(whole) // 4, "half": len(whole) // 2, "last-byte": len(whole) - 1}
        for name, place in places.items():
            yield entry(f"cut-at-{name}.{ending}", f"truncated {form}", whole[:place], UNREADABLE)
    progressive = encoded(people.gauss, "JPEG", progressive=True)
    cut = progressive[: progressive.rindex(b"\xff\xda")]
    yield entry("cut-between-scans.jpg", "truncated JPEG", cut, UNREADABLE)


def flipped(people: People) -> Iterator[CorpusFile]:
    """Every flipped PNG has a wrong checksum; in the other formats nothing tells a flipped bit from a picture."""
    for form, ending in _FORMS:
        whole = encoded(people.gauss, form)
        outcomes = {UNREADABLE} if form == "PNG" else DAMAGED
        for copy in range(_FLIPPED_COPIES):
            where = random.Random(f"{form} {copy}")
            data = bytearray(whole)
            for _ in range(1 + 4 * copy):
                data[where.randrange(len(data))] ^= 1 << where.randrange(8)
            yield entry(f"flipped-{copy}.{ending}", f"bit-flipped {form}", bytes(data), *outcomes)


def flipped_headers(people: People) -> Iterator[CorpusFile]:
    """The same within the first 200 bytes, where the structure is."""
    for form, ending in (("JPEG", "jpg"), ("WEBP", "webp")):
        whole = encoded(people.gauss, form, **({"progressive": True} if form == "JPEG" else {"lossless": True}))
        for copy in range(_FLIPPED_COPIES):
            where = random.Random(f"header of {form} {copy}")
            data = bytearray(whole)
            for _ in range(3):
                data[where.randrange(12, 200)] ^= 1 << where.randrange(8)
            outcomes = {*DAMAGED, "IMAGE_TOO_LARGE"}
            yield entry(f"flipped-header-{copy}.{ending}", f"bit-flipped {form}", bytes(data), *outcomes)
