"""Searching one gallery: the three modes, from a query to matches that can be shown."""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from runtime.errors import NotFound
from runtime.vectors import Vector
from vectorstore.catalog import CatalogFace
from vectorstore.collapse import PersonCollapser
from vectorstore.gallery_view import GalleryView
from vectorstore.index.base import Ids, Neighbours
from vectorstore.scores import clip_cosine, percent_of, percentile_of
from vectorstore.yourself import Yourself

# LOOKALIKE asks the index for more than is wanted, since many faces can be one person.
_FIRST_FETCH_FACTOR: Final = 3
_FIRST_FETCH_EXTRA: Final = 32
# Whenever that was not enough, for so many times as many: each try is a scan, which costs much the same for more.
_FETCH_GROWTH: Final = 8
# Faces whose vectors are compared with one another at once.
_COLLAPSE_PIECE: Final = 4096


class Mode(enum.Enum):
    """What kind of neighbour is wanted."""

    LOOKALIKE = "lookalike"
    SAME_PERSON = "same_person"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """What is wanted of every query."""

    limit: int
    mode: Mode
    # Cosine; None: no matter how unlike.
    min_similarity: float | None
    # Empty: all.
    collections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundMatch:
    """One neighbour."""

    face: CatalogFace
    cosine: float
    percent: float
    percentile: float
    same_person: tuple["FoundMatch", ...] = ()


@dataclass(frozen=True, slots=True)
class FoundResult:
    """The answer to one query, best first."""

    matches: tuple[FoundMatch, ...]
    yourself: tuple[FoundMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class _Probe:
    """A query's vector and, where the query is a face of the gallery, who that is."""

    vector: Vector
    face_id: int = -1
    person_code: int = 0
    photo_code: int = -1


def search_gallery(
    view: GalleryView, targets: Sequence[Vector | int], order: SearchOrder, check_wanted: Callable[[], None]
) -> list[FoundResult]:
    """Answers every target, a unit vector or the id of a face in the gallery, in the order asked.

    Blocking, for a thread: the index, the catalog and the sample are read under one hold of the gallery's lock, so
    that an answer never mixes two states. check_wanted: called before each query, to end the work by raising. Raises
    NotFound for a face that is not there.
    """
    with view.lock.reading():
        probes = [_probe(view, target) for target in targets]
        allowed = view.catalog.ids_of_collections(order.collections) if order.collections else None
        return _GallerySearch(view, order, allowed).answer(probes, check_wanted)


def _probe(view: GalleryView, target: Vector | int) -> _Probe:
    if not isinstance(target, int):
        return _Probe(target)
    ids = np.array([target], dtype=np.int64)
    try:
        vector = view.index.reconstruct(ids)[0]
    except KeyError:
        raise NotFound("face") from None
    return _Probe(vector, target, int(view.catalog.person_codes(ids)[0]), int(view.catalog.photo_codes(ids)[0]))


class _GallerySearch:
    """One request's work on a gallery whose lock is held."""

    def __init__(self, view: GalleryView, order: SearchOrder, allowed: Ids | None) -> None:
        self._view = view
        self._order = order
        self._allowed = allowed
        self._threshold = view.gallery.calibration.same_person_similarity

    def answer(self, probes: Sequence[_Probe], check_wanted: Callable[[], None]) -> list[FoundResult]:
        # One more than wanted: the query's own face may be among them.
        count = self._order.limit + 1
        if self._order.mode is Mode.LOOKALIKE:
            count = _FIRST_FETCH_FACTOR * self._order.limit + _FIRST_FETCH_EXTRA
        found = self._view.index.search(np.stack([probe.vector for probe in probes]), count, self._allowed)
        answer_one = {
            Mode.NEAREST: self._nearest,
            Mode.SAME_PERSON: self._same_person,
            Mode.LOOKALIKE: self._lookalike,
        }[self._order.mode]
        results = []
        for probe, neighbours in zip(probes, found, strict=True):
            check_wanted()
            results.append(answer_one(probe, neighbours, count))
        return results

    def _nearest(self, probe: _Probe, neighbours: Neighbours, _count: int) -> FoundResult:
        ids, cosines = self._without_self(probe, neighbours)
        wanted = cosines >= self._least()
        return FoundResult(self._show(probe, ids[wanted], cosines[wanted]))

    def _same_person(self, probe: _Probe, neighbours: Neighbours, count: int) -> FoundResult:
        catalog, limit = self._view.catalog, self._order.limit
        least = max(self._threshold, self._least())
        ids, cosines = np.empty(0, np.int64), np.empty(0, np.float32)
        for near_ids, near_cosines in self._further(probe, neighbours, count, least):
            wanted = (near_cosines >= least) & (catalog.photo_codes(near_ids) != probe.photo_code)
            if probe.person_code:
                # A name given by people outweighs a resemblance.
                codes = catalog.person_codes(near_ids)
                wanted &= (codes == 0) | (codes == probe.person_code)
            ids, cosines = np.concatenate([ids, near_ids[wanted]]), np.concatenate([cosines, near_cosines[wanted]])
            if len(ids) >= limit:
                break
        if probe.person_code:
            named = catalog.ids_of_person(probe.person_code)
            named = named[(catalog.photo_codes(named) != probe.photo_code) & ~np.isin(named, ids)]
            if self._allowed is not None:
                named = named[np.isin(named, self._allowed)]
            named_cosines = self._view.index.reconstruct(named) @ probe.vector
            alike = named_cosines >= self._least()
            ids, cosines = np.concatenate([ids, named[alike]]), np.concatenate([cosines, named_cosines[alike]])
            best_first = np.lexsort((ids, -cosines))
            ids, cosines = ids[best_first], cosines[best_first]
        return FoundResult(self._show(probe, ids, cosines))

    def _lookalike(self, probe: _Probe, neighbours: Neighbours, count: int) -> FoundResult:
        people = PersonCollapser(self._order.limit, self._threshold, self._view.gallery.dimension)
        yourself = Yourself(self._threshold, probe.person_code, probe.photo_code)
        for ids, cosines in self._further(probe, neighbours, count, self._least()):
            for start in range(0, len(ids), _COLLAPSE_PIECE):
                if not people.is_full:
                    piece = slice(start, start + _COLLAPSE_PIECE)
                    self._share_out(probe, ids[piece], cosines[piece], people, yourself)
            if people.is_full:
                break
        sample_cosines = self._view.sample.sorted_cosines(probe.vector)
        matches = tuple(
            self._match(*group[0], sample_cosines, tuple(self._match(*face, sample_cosines) for face in group[1:]))
            for group in people.groups
        )
        return FoundResult(matches, tuple(self._match(*face, sample_cosines) for face in yourself.faces))

    def _further(self, probe: _Probe, neighbours: Neighbours, count: int, least_cosine: float) -> Iterator[Neighbours]:
        """Yields neighbours in pieces, best first, down to the cosine: the ``count`` given, then more and more.

        What was yielded before is told by its id and not by its place: two scans round differently, and may so order
        faces that are equally alike in two ways.
        """
        seen = np.empty(0, np.int64)
        while True:
            ids, cosines = neighbours
            fresh = ~np.isin(ids, seen)
            yield ids[fresh], cosines[fresh]
            if len(ids) < count or (len(cosines) > 0 and cosines[-1] < least_cosine):
                return
            seen, count = ids, count * _FETCH_GROWTH
            neighbours = self._view.index.search(probe.vector[None], count, self._allowed)[0]

    def _share_out(self, probe: _Probe, ids: Ids, cosines: Vector, people: PersonCollapser, yourself: Yourself) -> None:
        """Shares the next neighbours out between the person in the query and others."""
        wanted = (ids != probe.face_id) & (cosines >= self._least())
        ids, cosines = ids[wanted], cosines[wanted]
        catalog = self._view.catalog
        codes = catalog.person_codes(ids)
        other = ~yourself.claim(ids, cosines, codes, catalog.photo_codes(ids))
        people.feed(ids[other], cosines[other], self._view.index.reconstruct(ids[other]), codes[other])

    def _without_self(self, probe: _Probe, neighbours: Neighbours) -> Neighbours:
        ids, cosines = neighbours
        others = ids != probe.face_id
        return ids[others], cosines[others]

    def _least(self) -> float:
        return -2.0 if self._order.min_similarity is None else self._order.min_similarity

    def _show(self, probe: _Probe, ids: Ids, cosines: Vector) -> tuple[FoundMatch, ...]:
        sample_cosines = self._view.sample.sorted_cosines(probe.vector)
        limit = self._order.limit
        return tuple(
            self._match(int(face_id), float(cosine), sample_cosines)
            for face_id, cosine in zip(ids[:limit], cosines[:limit], strict=True)
        )

    def _match(
        self, face_id: int, cosine: float, sample_cosines: Vector, same_person: tuple[FoundMatch, ...] = ()
    ) -> FoundMatch:
        cosine = clip_cosine(cosine)
        return FoundMatch(
            face=self._view.catalog.describe(face_id),
            cosine=cosine,
            percent=percent_of(cosine, self._view.gallery.calibration),
            percentile=percentile_of(cosine, sample_cosines),
            same_person=same_person,
        )
