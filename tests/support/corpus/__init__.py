"""A corpus of good, odd and hostile files, made of the starter pack's photographs; the same bytes every time."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.corpus import (
    bombs,
    damage,
    foreign,
    jpeg_oddities,
    metadata,
    ordinary,
    png_oddities,
    scenes,
    webp_oddities,
)
from tests.support.corpus.file import KNOWN_OUTCOMES, CorpusFile
from tests.support.corpus.people import People, load_people

__all__ = ["KNOWN_OUTCOMES", "CorpusFile", "generate"]

_MAKERS: tuple[Callable[[People], Iterator[CorpusFile]], ...] = (
    ordinary.baseline_jpegs,
    ordinary.progressive_jpegs,
    ordinary.four_color_jpegs,
    ordinary.png_colors,
    ordinary.sixteen_bit_pngs,
    ordinary.interlaced_pngs,
    ordinary.webps,
    ordinary.orientations,
    ordinary.animations,
    scenes.nobody,
    scenes.crowds,
    scenes.hardly_any_pixels,
    metadata.exif,
    metadata.huge_exif,
    metadata.profiles,
    metadata.comments,
    damage.truncated,
    damage.flipped,
    damage.flipped_headers,
    jpeg_oddities.unread_codings,
    jpeg_oddities.odd_frames,
    jpeg_oddities.odd_scans,
    jpeg_oddities.odd_tables,
    jpeg_oddities.odd_restarts,
    jpeg_oddities.jpeg_trailers,
    png_oddities.checksums,
    png_oddities.headers,
    png_oddities.palettes,
    png_oddities.pixels,
    png_oddities.animation_control,
    webp_oddities.containers,
    webp_oddities.animation_frames,
    bombs.unpacking,
    bombs.flat_giants,
    bombs.sizes,
    bombs.too_many_bytes,
    foreign.other_images,
    foreign.other_containers,
    foreign.no_images,
    foreign.polyglots,
)


def generate(photos: Path) -> Iterator[CorpusFile]:
    """Yields the corpus, made of the starter pack's ``photos`` folder."""
    people = load_people(photos)
    for make in _MAKERS:
        yield from make(people)
