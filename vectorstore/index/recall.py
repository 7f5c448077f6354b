"""How many candidates it takes: measured on the gallery itself, for people who are in it and for people who are not."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vectorstore.index.base import Vectors
from vectorstore.index.blocks import Rows

# Aimed at on the sample, so that 0.99 holds on what the sample stands for: a standard error is 0.002.
TARGET_RECALL: Final = 0.995
# Promised; where candidates do not reach it, or nobody knows, every vector is compared.
LEAST_RECALL: Final = 0.99
SAMPLE_QUERIES: Final = 256
MAX_CANDIDATES: Final = 4096
# The curve is measured at these depths and follows a power of the depth between and beyond.
_DEPTHS: Final = (10, 50)
# Compared beyond k at least.
_LEAST_MORE: Final = 16
# Neighbours known of each query: its own photo and its person's others must leave enough of them.
KNOWN_NEIGHBOURS: Final = 128
# Where they do not, in a gallery of few people with many photos each.
_MORE_NEIGHBOURS: Final = 1024
# From fewer queries than this share nothing is concluded.
_LEAST_SHARE: Final = 0.25

# Both (queries, n) row numbers, best first: the truth, and what the codes alone say.
RowLists = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RerankCurve:
    """How many candidates to compare for the k nearest: ``for_ten × (k / 10) ** exponent``, and what that finds.

    Beyond the measured depths it grows no faster than k does. The recalls are 0 where they could not be measured.
    """

    for_ten: int
    exponent: float
    recall_seen: float
    recall_unseen: float

    @property
    def is_enough(self) -> bool:
        """Whether a search that compares so many finds what it must."""
        return min(self.recall_seen, self.recall_unseen) >= LEAST_RECALL

    def candidates(self, k: int) -> int:
        """Returns how many candidates to compare for the k nearest."""
        first, last = _DEPTHS
        grown: float = self.for_ten * (min(max(k, first), last) / first) ** self.exponent
        grown *= (max(k, last) / last) ** min(1.0, self.exponent)
        return max(math.ceil(grown), k + _LEAST_MORE)


# Before anything was measured: what the harder of PERFORMANCE's galleries takes.
CAUTIOUS_CURVE: Final = RerankCurve(for_ten=640, exponent=0.8, recall_seen=0.0, recall_unseen=0.0)


def measure(
    queries: Vectors,
    own_rows: Rows,
    same_person_similarity: float,
    true_neighbours: Callable[[Vectors, int], tuple[RowLists, npt.NDArray[np.float32]]],
    by_codes: Callable[[Vectors, int], RowLists],
) -> RerankCurve:
    """Returns the curve that reaches the target recall for the queries (n, dimension), faces of the gallery.

    A face is looked for as one of a person who is in the gallery (all rows but its own, own_rows (n,)) and as a
    stranger's: without whoever is alike as one person is. true_neighbours(queries, count): the exact rows and their
    cosines, best first; by_codes(queries, count): the rows that the codes put first, best first.
    """
    order = by_codes(queries, MAX_CANDIDATES)
    for count in (KNOWN_NEIGHBOURS, _MORE_NEIGHBOURS):
        truth, cosines = true_neighbours(queries, count)
        seen, unseen = [], []
        for place, own in enumerate(own_rows):
            not_own = truth[place] != own
            seen.append(_ranks(truth[place], not_own, order[place]))
            unseen.append(_ranks(truth[place], not_own & (cosines[place] < same_person_similarity), order[place]))
        if _is_measured(unseen, _DEPTHS[-1]):
            break
    needed = [_least_count(seen, unseen, depth) for depth in _DEPTHS]
    # In proportion, where it is not known.
    exponent = 1.0
    if _is_measured(unseen, _DEPTHS[-1]):
        exponent = math.log(needed[1] / needed[0]) / math.log(_DEPTHS[1] / _DEPTHS[0])
    for_ten = needed[0]
    return RerankCurve(
        for_ten=for_ten,
        # Never fewer for more.
        exponent=max(0.3, exponent),
        recall_seen=_recall(seen, _DEPTHS[0], for_ten),
        recall_unseen=_recall(unseen, _DEPTHS[0], for_ten),
    )


def _ranks(truth: Rows, wanted: npt.NDArray[np.bool_], order: Rows) -> npt.NDArray[np.int64]:
    """Returns the places, among the candidates, of the wanted true neighbours, nearest first.

    The neighbours that are not wanted are taken to be not there; what is no candidate has a place beyond all.
    """
    order = order[~np.isin(order, truth[~wanted])]
    sorted_places = np.argsort(order, kind="stable")
    nearest = truth[wanted]
    found = np.searchsorted(order[sorted_places], nearest)
    found = np.minimum(found, max(0, len(order) - 1))
    places = sorted_places[found] if len(order) else np.zeros(len(nearest), np.int64)
    there = order[places] == nearest if len(order) else np.zeros(len(nearest), np.bool_)
    ranks: npt.NDArray[np.int64] = np.where(there, places, MAX_CANDIDATES)
    return ranks


def _is_measured(ranks: list[npt.NDArray[np.int64]], depth: int) -> bool:
    """Tells whether enough of the queries have so many neighbours."""
    return sum(len(places) >= depth for places in ranks) >= _LEAST_SHARE * len(ranks)


def _recall(ranks: list[npt.NDArray[np.int64]], depth: int, candidate_count: int) -> float:
    """Returns the share of the nearest ``depth`` that are among the first candidates; 0 where it is not known."""
    if not _is_measured(ranks, depth):
        return 0.0
    return float(np.mean([np.mean(places[:depth] < candidate_count) for places in ranks if len(places) >= depth]))


def _least_count(seen: list[npt.NDArray[np.int64]], unseen: list[npt.NDArray[np.int64]], depth: int) -> int:
    """Returns the least count, on a grid of quarter octaves, that reaches the target for both."""
    count = float(depth + _LEAST_MORE)
    while count < MAX_CANDIDATES:
        if min(_recall(seen, depth, int(count)), _recall(unseen, depth, int(count))) >= TARGET_RECALL:
            return int(count)
        count *= 2**0.25
    return MAX_CANDIDATES
