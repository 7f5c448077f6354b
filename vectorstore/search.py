"""Searching one gallery: from queries to matches that can be shown, for one request or for several at once."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from runtime.errors import NotFound, TwinError
from runtime.vectors import Vector
from vectorstore.answering import Answerer
from vectorstore.gallery_view import GalleryView
from vectorstore.index.base import Ids, Neighbours
from vectorstore.orders import FoundResult, Probe, SearchOrder


class SearchJob(NamedTuple):
    """One request: targets, each a unit vector or the id of a face in the gallery, answered in the order asked.

    check_wanted: called before the scan and before each answer, to end the work by raising.
    """

    targets: Sequence[Vector | int]
    order: SearchOrder
    check_wanted: Callable[[], None]


# What one request gets: an answer for each of its targets, or why there is none.
Outcome = list[FoundResult] | Exception


def search_gallery(view: GalleryView, jobs: Sequence[SearchJob]) -> list[Outcome]:
    """Answers requests whose orders have one scan_key by one scan.

    Blocking, for a thread: the index, the catalog and the sample are read under one hold of the gallery's lock, so
    that an answer never mixes two states. What is wrong with one request, such as NotFound for a face that is not
    there, is its outcome alone.
    """
    outcomes: list[Outcome] = [[] for _ in jobs]
    with view.lock.reading():
        probes: list[list[Probe]] = []
        for place, job in enumerate(jobs):
            try:
                job.check_wanted()
                probes.append([_probe(view, target) for target in job.targets])
            except TwinError as error:
                outcomes[place] = error
                probes.append([])
        allowed = jobs[0].order.faces.select(view.catalog)
        found = _scan(view, jobs[0].order, [probe for some in probes for probe in some], allowed)
        first = 0
        for place, (job, some) in enumerate(zip(jobs, probes, strict=True)):
            neighbours = found[first : first + len(some)]
            first += len(some)
            if isinstance(outcomes[place], list):
                outcomes[place] = _answers(Answerer(view, job.order, allowed, job.check_wanted), job, some, neighbours)
    return outcomes


def _scan(view: GalleryView, order: SearchOrder, probes: Sequence[Probe], allowed: Ids | None) -> Sequence[Neighbours]:
    if not probes:
        return []
    vectors = np.stack([probe.vector for probe in probes])
    return view.index.search(vectors, order.first_count, allowed, exact=order.exact)


def _answers(answerer: Answerer, job: SearchJob, probes: Sequence[Probe], found: Sequence[Neighbours]) -> Outcome:
    results = []
    try:
        for probe, neighbours in zip(probes, found, strict=True):
            job.check_wanted()
            results.append(answerer.answer(probe, neighbours))
    except TwinError as error:
        return error
    return results


def _probe(view: GalleryView, target: Vector | int) -> Probe:
    if not isinstance(target, int):
        return Probe(target)
    ids = np.array([target], dtype=np.int64)
    try:
        vector = view.index.reconstruct(ids)[0]
    except KeyError:
        raise NotFound("face") from None
    return Probe(vector, target, int(view.catalog.person_codes(ids)[0]), int(view.catalog.photo_codes(ids)[0]))
