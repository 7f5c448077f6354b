"""From what a device fetches to the k best: exact comparison, and the proof that nothing better was left out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.base import Ids, Vectors
from vectorstore.index.blocks import Rows, VectorBlocks
from vectorstore.index.cuda_device import MAX_SELECTED
from vectorstore.index.cuda_store import DeviceStore
from vectorstore.index.exact import Best, among_rows, in_order, nearest_rows
from vectorstore.index.recall import RerankCurve
from vectorstore.index.rows import Mask

# Whenever that was not enough.
_GROWTH: Final = 4
# Where rows are dead or not allowed: this much more than the average share of them.
_UNEVEN: Final = 1.25
# Vectors compared at once, 32 MiB at 512 dimensions.
_COMPARED_ROWS: Final = 16_384
# Cosines of all rows held at once, 64 MiB: how many queries go through all together.
_MOST_COSINES: Final = 2**24

Cosines = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Search:
    """What one search is about.

    ids (rows,), ascending; mask (rows,): what may be found, None: all. on_device: rows that are on the device. curve:
    how many candidates are compared where the answer need not be proved exact; None: it must.
    """

    store: DeviceStore
    ids: Ids
    blocks: VectorBlocks
    mask: Mask | None
    on_device: int
    curve: RerankCurve | None


def best_rows(search: Search, queries: Vectors, k: int) -> list[Best]:
    """Returns for each of the queries (n, dimension) its k best of the rows on the device, fewer if there are fewer."""
    findable = search.on_device if search.mask is None else int(np.count_nonzero(search.mask[: search.on_device]))
    k = min(k, findable)
    if k == 0:
        return [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
    store = search.store
    errors = store.errors(queries)
    wanted = store.first_count(k) if search.curve is None else search.curve.candidates(k)
    count = int(wanted * _UNEVEN * len(store) / findable) + 1 if findable < len(store) else wanted
    best: list[Best | None] = [None] * len(queries)
    open_ = np.arange(len(queries))
    while len(open_) and (count <= MAX_SELECTED or len(store) <= MAX_SELECTED):
        count = min(count, len(store))
        open_ = _try(search, queries, k, count, errors, open_, best)
        if count < MAX_SELECTED < count * _GROWTH:
            count = MAX_SELECTED
        else:
            count *= _GROWTH
    if len(open_):
        for number, answer in zip(open_, _through_all(search, queries[open_], k, errors[open_]), strict=True):
            best[number] = answer
    return [answer for answer in best if answer is not None]


def _try(
    search: Search, queries: Vectors, k: int, count: int, errors: Cosines, open_: Rows, best: list[Best | None]
) -> Rows:
    """Fetches ``count`` for each open query and answers those for which that is enough; returns the others."""
    fetched, ids = search.store.fetch(queries[open_], count)
    rows = np.searchsorted(search.ids, ids)
    found = rows < len(search.ids)
    rows[~found] = 0
    found &= search.ids[rows] == ids
    if search.mask is not None:
        found &= search.mask[rows]
    cosines = _compare(search.blocks, queries[open_], rows, found)
    is_all = count >= len(search.store)
    left = []
    for place, number in enumerate(open_):
        mine = found[place]
        my_rows, my_cosines = in_order(rows[place, mine], cosines[place, mine])
        enough = len(my_rows) >= k
        if enough and search.curve is None and not is_all:
            # Whatever was not fetched is at most as good, on the device, as the last that was.
            enough = bool(my_cosines[k - 1] >= fetched[place, -1] + errors[number])
        if enough or is_all:
            best[number] = (my_rows[:k], my_cosines[:k])
        else:
            left.append(number)
    return np.array(left, dtype=np.int64)


def _compare(blocks: VectorBlocks, queries: Vectors, rows: Rows, found: Mask) -> Cosines:
    """Returns the cosines (n, m) of each query with its rows (n, m), in float32; of what is not found, nonsense."""
    cosines = np.empty(rows.shape, np.float32)
    step = max(1, _COMPARED_ROWS // max(1, rows.shape[1]))
    for start in range(0, len(queries), step):
        piece = slice(start, start + step)
        vectors = blocks.take(rows[piece].ravel()).reshape(*rows[piece].shape, -1)
        cosines[piece] = np.matmul(vectors, queries[piece, :, None])[..., 0]
    return cosines


def _through_all(search: Search, queries: Vectors, k: int, errors: Cosines) -> Iterator[Best]:
    """Yields each query's k best by a look at every row: on the device where it can, and else on the host."""
    step = max(1, _MOST_COSINES // len(search.store))
    for start in range(0, len(queries), step):
        some = queries[start : start + step]
        pieces = search.store.all_cosines(some)
        if pieces is None:
            mask = np.arange(len(search.ids)) < search.on_device
            if search.mask is not None:
                mask &= search.mask
            yield from nearest_rows(search.blocks, some, k, mask)
            continue
        ids, parts = [], []
        for piece_ids, cosines in pieces:
            ids.append(piece_ids)
            parts.append(cosines)
        yield from _select(search, some, k, errors[start : start + step], np.concatenate(ids), np.hstack(parts))


def _select(search: Search, queries: Vectors, k: int, errors: Cosines, ids: Rows, cosines: Cosines) -> Iterator[Best]:
    rows = np.searchsorted(search.ids, ids)
    wanted = np.ones(len(rows), np.bool_) if search.mask is None else search.mask[rows]
    rows = rows[wanted]
    for query, error, all_of_it in zip(queries, errors, cosines, strict=True):
        mine: Vector = all_of_it[wanted]
        # The true k-th is no worse than the device's k-th less the error, and looks no worse than that less it again.
        least = np.partition(mine, len(mine) - k)[len(mine) - k] - 2 * error
        yield among_rows(search.blocks.take, rows[mine >= least], query[None], k)[0]


def living_pieces(blocks: VectorBlocks, alive: Mask, most_rows: int) -> Iterator[Vectors]:
    """Yields the rows that are alive, of the first that are in ``alive``, in pieces."""
    for first, piece in blocks.pieces(0, len(alive), most_rows):
        living = alive[first : first + len(piece)]
        yield piece if living.all() else piece[living]
