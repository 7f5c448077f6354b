"""One file of the corpus, and what may come of it."""

from dataclasses import dataclass

OK = "OK"
NO_FACE = "NO_FACE"
UNREADABLE = "UNREADABLE_IMAGE"
TOO_LARGE = "IMAGE_TOO_LARGE"
KNOWN_OUTCOMES = frozenset({OK, NO_FACE, UNREADABLE, TOO_LARGE})

MENDED = frozenset({OK, UNREADABLE})
"""The picture is whole and something beside it is wrong: a decoder may mind or not."""

DAMAGED = frozenset({OK, NO_FACE, UNREADABLE})
"""Bytes are wrong where a decoder may notice, may mend it, or may not: anything but a fault of the service."""


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A file, and the outcomes that are right for it: "OK", or the reasons of ErrorInfo."""

    name: str
    kind: str
    data: bytes
    outcomes: frozenset[str]


def entry(name: str, kind: str, data: bytes, *outcomes: str) -> CorpusFile:
    return CorpusFile(name, kind, data, frozenset(outcomes))
