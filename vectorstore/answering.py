"""From a query's nearest faces to its answer: the three modes, and what each match is told to mean."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from runtime.vectors import Vector
from vectorstore.collapse import PersonCollapser
from vectorstore.gallery_view import GalleryView
from vectorstore.index.base import Ids, Neighbours
from vectorstore.orders import FoundMatch, FoundResult, Mode, Probe, SearchOrder
from vectorstore.scores import Percentiles, clip_cosine, percent_of
from vectorstore.yourself import Yourself

# Whenever the neighbours were not enough, for so many times as many: each try is a scan, which costs much the same for
# more.
_FETCH_GROWTH: Final = 8
# Faces whose vectors are compared with one another at once.
_COLLAPSE_PIECE: Final = 4096


class Answerer:
    """Answers queries of one request on a gallery whose lock is held."""

    def __init__(
        self, view: GalleryView, order: SearchOrder, allowed: Ids | None, check_wanted: Callable[[], None]
    ) -> None:
        """allowed: faces that it is confined to; None: all. check_wanted: asked before each further scan, may raise."""
        self._check_wanted = check_wanted
        self._view = view
        self._order = order
        self._allowed = allowed
        self._threshold = view.gallery.calibration.same_person_similarity

    def answer(self, probe: Probe, neighbours: Neighbours) -> FoundResult:
        """Returns the answer, given the ``order.first_count`` nearest faces."""
        if self._order.mode is Mode.NEAREST:
            return self._nearest(probe, neighbours)
        if self._order.mode is Mode.SAME_PERSON:
            return self._same_person(probe, neighbours)
        return self._lookalike(probe, neighbours)

    def _nearest(self, probe: Probe, neighbours: Neighbours) -> FoundResult:
        ids, cosines = neighbours
        wanted = (ids != probe.face_id) & (cosines >= self._order.least_cosine)
        return FoundResult(self._show(ids[wanted], cosines[wanted], self._percentiles(probe, cosines)))

    def _same_person(self, probe: Probe, neighbours: Neighbours) -> FoundResult:
        catalog, limit = self._view.catalog, self._order.limit
        least = max(self._threshold, self._order.least_cosine)
        ids, cosines = np.empty(0, np.int64), np.empty(0, np.float32)
        seen = neighbours[1]
        for near_ids, near_cosines, seen in self._further(probe, neighbours, least):  # noqa: B007
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
            alike = named_cosines >= self._order.least_cosine
            ids, cosines = np.concatenate([ids, named[alike]]), np.concatenate([cosines, named_cosines[alike]])
        # A second scan may find a face that is nearer than the last of the first one's.
        best_first = np.lexsort((ids, -cosines))
        return FoundResult(self._show(ids[best_first], cosines[best_first], self._percentiles(probe, seen)))

    def _lookalike(self, probe: Probe, neighbours: Neighbours) -> FoundResult:
        people = PersonCollapser(self._order.limit, self._threshold, self._view.gallery.dimension)
        yourself = Yourself(self._threshold, probe.person_code, probe.photo_code)
        seen = neighbours[1]
        for ids, cosines, seen in self._further(probe, neighbours, self._order.least_cosine):  # noqa: B007
            for start in range(0, len(ids), _COLLAPSE_PIECE):
                if not people.is_full:
                    piece = slice(start, start + _COLLAPSE_PIECE)
                    self._share_out(probe, ids[piece], cosines[piece], people, yourself)
            if people.is_full:
                break
        # A second scan may find a face that is nearer than the last of the first one's.
        groups = sorted(
            (sorted(group, key=_nearest_first) for group in people.groups), key=lambda g: _nearest_first(g[0])
        )
        yours = sorted(yourself.faces, key=_nearest_first)
        made = self._matches([face for group in [*groups, yours] for face in group], self._percentiles(probe, seen))
        matches = []
        for group in groups:
            first, *others = made(len(group))
            matches.append(first._replace(same_person=tuple(others)) if others else first)
        return FoundResult(tuple(matches), made(len(yours)))

    def _further(
        self, probe: Probe, neighbours: Neighbours, least_cosine: float
    ) -> Iterator[tuple[Ids, Vector, Vector]]:
        """Yields new neighbours, best first, down to the cosine: those given, then more and more.

        With them the cosines of all so far. What was yielded before is told by its id and not by its place: two scans
        round differently, and may so order faces that are equally alike in two ways.
        """
        seen, count = np.empty(0, np.int64), self._order.first_count
        while True:
            ids, cosines = neighbours
            fresh = ~np.isin(ids, seen)
            yield ids[fresh], cosines[fresh], cosines
            if len(ids) < count or (len(cosines) > 0 and cosines[-1] < least_cosine):
                return
            self._check_wanted()
            seen, count = ids, count * _FETCH_GROWTH
            neighbours = self._view.index.search(probe.vector[None], count, self._allowed, exact=self._order.exact)[0]

    def _share_out(self, probe: Probe, ids: Ids, cosines: Vector, people: PersonCollapser, yourself: Yourself) -> None:
        """Shares the next neighbours out between the person in the query and others."""
        wanted = (ids != probe.face_id) & (cosines >= self._order.least_cosine)
        ids, cosines = ids[wanted], cosines[wanted]
        catalog = self._view.catalog
        codes = catalog.person_codes(ids)
        other = ~yourself.claim(ids, cosines, codes, catalog.photo_codes(ids))
        people.feed(ids[other], cosines[other], self._view.index.reconstruct(ids[other]), codes[other])

    def _percentiles(self, probe: Probe, seen_cosines: Vector) -> Percentiles:
        """Returns the shares by the neighbours seen, where the whole gallery was searched, and by the sample."""
        nearest = seen_cosines if self._allowed is None else seen_cosines[:0]
        return Percentiles(nearest, len(self._view.catalog), lambda: self._view.sample.sorted_cosines(probe.vector))

    def _show(self, ids: Ids, cosines: Vector, percentiles: Percentiles) -> tuple[FoundMatch, ...]:
        limit = self._order.limit
        faces = list(zip(ids[:limit].tolist(), cosines[:limit].tolist(), strict=True))
        return self._matches(faces, percentiles)(len(faces))

    def _matches(
        self, faces: Sequence[tuple[int, float]], percentiles: Percentiles
    ) -> Callable[[int], tuple[FoundMatch, ...]]:
        """Makes matches of all the (id, cosine) at once; returns what gives out the next so many, in order."""
        cosines = [clip_cosine(cosine) for _, cosine in faces]
        calibration = self._view.gallery.calibration
        made = map(
            FoundMatch,
            self._view.catalog.show_all(np.array([face_id for face_id, _ in faces], np.int64)),
            cosines,
            [percent_of(cosine, calibration) for cosine in cosines],
            percentiles.of_all(cosines),
        )
        return lambda count: tuple(itertools.islice(made, count))


def _nearest_first(face: tuple[int, float]) -> tuple[float, int]:
    face_id, cosine = face
    return -cosine, face_id
