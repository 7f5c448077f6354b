"""Galleries that one machine cannot hold: their vectors are in Milvus, everything else is here.

Which ids there are, and which of them live, this process knows by itself; Milvus is asked for neighbours alone and is
never believed about an id. So a collection may be ahead of what is known here, as it is after a restart from an older
snapshot: the change log names again what it has already, and to write that twice changes nothing. Each replica has
collections of its own, since a slower one would otherwise bring a deleted face back for as long as it lags.
"""

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from runtime.vectors import Vector
from vectorstore.index.base import Arrays, Ids, IndexFacts, Neighbours, Upkeep, Vectors
from vectorstore.index.exact import in_order
from vectorstore.index.rows import Mask, RowTable
from vectorstore.index.saved_array import SavedArray

KIND: Final = "milvus"
# Milvus's own limit on the neighbours of one search (proxy.maxResultWindow).
MAX_NEIGHBOURS: Final = 16_384
# Rows of one call: 8 MiB of 512 dimensions; messages to a Milvus may have 64.
_WRITTEN_ROWS: Final = 4096
# Ids that are looked for at once when a collection is taken up: no more come back than that leaves room for.
_CHECKED_IDS: Final = 8192
# Ids that one expression lists.
_LISTED_IDS: Final = 4096
# Confined to no fewer than this share of the faces, a search fetches more and looks which are allowed.
_FETCH_MORE_SHARE: Final = 0.05
_UNEVEN: Final = 1.25
# Whenever that was not enough.
_GROWTH: Final = 4

# Calls a function with a client, and makes DependencyUnavailable of its failure; the bool: whether to try again.
Call = Callable[[Callable[[Any], Any], bool], Any]


class MilvusIndex:
    """See VectorIndex. Always exact: the collection's index compares every vector."""

    is_local = False

    def __init__(self, call: Call, collection: str, dimension: int) -> None:
        """collection: of this gallery and replica alone, with the fields id and vector."""
        self._call = call
        self._collection = collection
        self._dimension = dimension
        self._rows = RowTable()

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """See VectorIndex. Raises DependencyUnavailable, with nothing findable, when Milvus does not take them."""
        if vectors.shape != (len(ids), self._dimension):
            raise ValueError(f"vectors must be ({len(ids)}, {self._dimension}), not {vectors.shape}")
        self._rows.check(ids)
        for start in range(0, len(ids), _WRITTEN_ROWS):
            piece = slice(start, start + _WRITTEN_ROWS)
            rows = [
                {"id": face_id, "vector": vector}
                for face_id, vector in zip(ids[piece].tolist(), vectors[piece].astype(np.float32), strict=True)
            ]
            self._call(methodcaller("upsert", self._collection, rows), True)
        self._rows.append(ids)

    def remove(self, ids: Ids) -> int:
        """See VectorIndex. Raises DependencyUnavailable, with nothing removed here, when Milvus does not answer."""
        gone = np.unique(ids)
        for start in range(0, len(gone), _LISTED_IDS):
            # Also what is not known here: a collection that is ahead may have it.
            piece = gone[start : start + _LISTED_IDS].tolist()
            self._call(methodcaller("delete", self._collection, ids=piece), True)
        removed_count = self._rows.remove(gone)
        self._forget_dead_rows()
        return removed_count

    def search(
        self, vectors: Vectors, k: int, allowed: Ids | None = None, *, exact: bool = False
    ) -> Sequence[Neighbours]:
        """See VectorIndex. Raises DependencyUnavailable when Milvus does not answer."""
        mask = self._rows.alive if allowed is None else self._rows.mask_of(allowed)
        findable = int(np.count_nonzero(mask))
        k = min(k, findable)
        if k <= 0 or not len(vectors):
            return [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in vectors]
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        share = findable / len(self._rows)
        count = k if allowed is None else int(k / share * _UNEVEN) + 16
        while count <= MAX_NEIGHBOURS and share >= _FETCH_MORE_SHARE:
            found = self._known(self._ask(queries, count, ""), mask)
            if all(len(ids) >= k for ids, _ in found):
                return [_best(ids, cosines, k) for ids, cosines in found]
            count *= _GROWTH
        return self._search_in_parts(queries, k, mask)

    def _search_in_parts(self, queries: Vectors, k: int, mask: Mask) -> list[Neighbours]:
        """Searches among so few of the ids at once that all of the k best of them can be had."""
        most = _LISTED_IDS if k <= _LISTED_IDS else MAX_NEIGHBOURS
        wanted = self._rows.ids[mask]
        parts = [
            self._known(self._ask(queries, min(k, most), _listed(wanted[start : start + most])), mask)
            for start in range(0, len(wanted), most)
        ]
        answers = []
        for parts_of_one in zip(*parts, strict=True):
            ids = np.concatenate([ids for ids, _ in parts_of_one])
            cosines = np.concatenate([cosines for _, cosines in parts_of_one])
            answers.append(_best(ids, cosines, k))
        return answers

    def _ask(self, queries: Vectors, count: int, only: str) -> Any:
        return self._call(
            lambda client: client.search(
                self._collection,
                data=list(queries),
                limit=count,
                filter=only,
                output_fields=["id"],
                search_params={"metric_type": "IP"},
                consistency_level="Strong",
            ),
            False,
        )

    def _known(self, answers: Any, mask: Mask) -> list[Neighbours]:
        """Returns what Milvus found, of what may be found."""
        found: list[Neighbours] = []
        for hits in answers:
            ids = np.array([hit["id"] for hit in hits], dtype=np.int64)
            cosines: Vector = np.array([hit["distance"] for hit in hits], dtype=np.float32)
            rows = np.minimum(np.searchsorted(self._rows.ids, ids), len(self._rows) - 1)
            known = (self._rows.ids[rows] == ids) & mask[rows]
            found.append((ids[known], cosines[known]))
        return found

    def reconstruct(self, ids: Ids) -> Vectors:
        """See VectorIndex."""
        if len(self._rows.find(ids)) != len(ids):
            raise KeyError("an id is not in the index")
        vectors = np.empty((len(ids), self._dimension), np.float32)
        wanted, places = np.unique(ids, return_inverse=True)
        unique = np.empty((len(wanted), self._dimension), np.float32)
        for start in range(0, len(wanted), _LISTED_IDS):
            piece = wanted[start : start + _LISTED_IDS]
            rows = self._call(
                methodcaller("get", self._collection, ids=piece.tolist(), output_fields=["id", "vector"]), False
            )
            if len(rows) != len(piece):
                raise KeyError("Milvus has lost an id")
            there = np.searchsorted(piece, [row["id"] for row in rows])
            unique[start + there] = np.array([row["vector"] for row in rows], dtype=np.float32)
        vectors[:] = unique[places]
        return vectors

    def live_ids(self) -> Ids:
        """See VectorIndex."""
        return self._rows.ids[self._rows.alive]

    def upkeep(self) -> Upkeep | None:
        """See VectorIndex: Milvus sees to itself."""
        return None

    def to_arrays(self) -> dict[str, SavedArray]:
        """See VectorIndex: which ids there are; the vectors stay where they are."""
        name: npt.NDArray[np.uint8] = np.frombuffer(self._collection.encode(), np.uint8)
        return {"ids": SavedArray.of(self.live_ids()), "collection": SavedArray.of(name)}

    def take_up(self, arrays: Arrays) -> None:
        """Goes on from what ``to_arrays`` saved, with the collection as it is now.

        Raises KeyError or ValueError when the collection is another one, or lacks a face: one that was deleted since,
        or lost, which cannot be told apart. What it has beyond, the change log adds again or has deleted.
        """
        ids, name = arrays["ids"], bytes(arrays["collection"]).decode()
        if name != self._collection:
            raise ValueError(f"the snapshot is of the collection {name!r}, not of {self._collection!r}")
        ids = np.asarray(ids, dtype=np.int64)
        stale = []
        for start in range(0, len(ids), _CHECKED_IDS):
            piece = ids[start : start + _CHECKED_IDS]
            least = -1 if start == 0 else int(ids[start - 1])
            there = self._ids_between(least, int(piece[-1]))
            if not np.isin(piece, there).all():
                raise ValueError("faces of the snapshot are not in Milvus")
            stale.append(np.setdiff1d(there, piece))
        self._rows.append(ids)
        # Deleted before the snapshot; only a delete that never arrived can have left them.
        gone = np.concatenate([np.empty(0, np.int64), *stale])
        if len(gone):
            self.remove(gone)

    def _ids_between(self, above: int, last: int) -> Ids:
        """Returns the ids of the collection that are above the one and not above the other."""
        rows = self._call(
            methodcaller(
                "query",
                self._collection,
                filter=f"id > {above} and id <= {last}",
                output_fields=["id"],
                limit=MAX_NEIGHBOURS,
                consistency_level="Strong",
            ),
            True,
        )
        if len(rows) >= MAX_NEIGHBOURS:
            raise ValueError("Milvus holds more faces than there were")
        return np.array([row["id"] for row in rows], dtype=np.int64)

    def facts(self) -> IndexFacts:
        """See VectorIndex: what is taken on this machine."""
        return IndexFacts(KIND, self._rows.live_count, self._rows.nbytes, self._rows.tombstone_count)

    def _forget_dead_rows(self) -> None:
        """Makes the table of ids small again, as soon as it is worth it: no vector moves."""
        if self._rows.wants_compaction():
            rows = RowTable()
            rows.append(self.live_ids())
            self._rows = rows


def _best(ids: Ids, cosines: Vector, k: int) -> Neighbours:
    ids, cosines = in_order(ids, cosines)
    return ids[:k], cosines[:k]


def _listed(ids: Ids) -> str:
    return f"id in [{','.join(map(str, ids.tolist()))}]"
