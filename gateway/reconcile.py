"""Finding one side without the other: originals of ours that no photo names, and photos whose original is gone.

Both sides are listed whole before anything is called an orphan, and every orphan is looked at once more before it is
removed. A listing that fails, a database or a store that does not answer, or so many orphans that the wrong database is
likelier than that many failures: then nothing is removed. What is younger than a day may be on its way.
"""

import asyncio
import hashlib
import time
from array import array
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.admission import Admission
from gateway.deadlines import TimeLeft
from gateway.orders import ReconcileOrder
from gateway.photo_store import KEPT_PREFIX, BadKey, PhotoStore, is_kept, photo_id_of
from gateway.records import ExternalAction, ListedPhoto, Source
from gateway.remove import Remover
from gateway.suspicion import are_suspicious
from gateway.vectorstore_client import VectorStore
from runtime.errors import InvalidField, NotFound

MIN_AGE_S: Final = 24 * 3600.0
MAX_TOLD: Final = 1000
_PROGRESS_INTERVAL_S: Final = 0.5
# Files of the owner's that are looked for at once.
_LOOKS: Final = 8


@dataclass(frozen=True, slots=True)
class Orphan:
    """An original without a photo, or a photo without its original."""

    is_original: bool
    photo_id: str
    source: Source
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How far it is; orphans are those since the last time."""

    original_count: int
    photo_count: int
    orphaned_original_count: int
    orphaned_photo_count: int
    removed_count: int
    orphans: tuple[Orphan, ...]


@dataclass(slots=True)
class _Tally:
    original_count: int = 0
    photo_count: int = 0
    orphaned_original_count: int = 0
    orphaned_photo_count: int = 0
    removed_count: int = 0
    # Of those, old enough to be orphans.
    old_original_count: int = 0
    old_photo_count: int = 0
    # Of the photos, those of the owner's files: all out of sight at once where the store may read them no more.
    old_owned_count: int = 0
    orphaned_owned_count: int = 0
    found: list[Orphan] = field(default_factory=list)
    untold: list[Orphan] = field(default_factory=list)

    def find(self, orphan: Orphan) -> None:
        if orphan.is_original:
            self.orphaned_original_count += 1
        else:
            self.orphaned_photo_count += 1
            self.orphaned_owned_count += not is_kept(orphan.source)
        if len(self.found) < MAX_TOLD:
            self.found.append(orphan)
            self.untold.append(orphan)

    def take(self) -> Reconciliation:
        told, self.untold = tuple(self.untold), []
        return Reconciliation(
            self.original_count,
            self.photo_count,
            self.orphaned_original_count,
            self.orphaned_photo_count,
            self.removed_count,
            told,
        )


class Reconciler:
    """Compares the photo store with the vector store, one comparison at a time."""

    def __init__(
        self,
        vectors: VectorStore,
        store: PhotoStore,
        remover: Remover,
        *,
        store_timeout_s: float,
        min_age_s: float = MIN_AGE_S,
    ) -> None:
        self._vectors = vectors
        self._store = store
        self._remover = remover
        self._store_timeout_s = store_timeout_s
        self._min_age_s = min_age_s
        self._admission = Admission(1)

    async def reconcile(self, order: ReconcileOrder, time_left: TimeLeft) -> AsyncGenerator[Reconciliation, None]:
        """Yields how far it is at least once a second, the last time when it is done.

        Raises TwinError, with nothing removed, on any failure to look; Overloaded while another one runs; and
        InvalidField when most of what was looked at would be removed.
        """
        with self._admission.enter():
            tally = _Tally()
            work = asyncio.create_task(self._run(order, time_left, tally), name="reconcile")
            try:
                while not work.done():
                    await asyncio.wait({work}, timeout=_PROGRESS_INTERVAL_S)
                    yield tally.take()
                await work
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)

    async def _run(self, order: ReconcileOrder, time_left: TimeLeft, tally: _Tally) -> None:
        youngest_s = time.time() - self._min_age_s
        try:
            named = await self._list_photos(tally, time_left)
            kept = await self._list_originals(tally, named, youngest_s)
            await self._look_for_originals(tally, kept, youngest_s, time_left)
        except BadKey as error:
            raise InvalidField("store", "a photo names an original that cannot be in this store") from error
        if order.apply:
            await self._remove(tally, order.max_removals, time_left)

    async def _list_photos(self, tally: _Tally, time_left: TimeLeft) -> npt.NDArray[np.uint64]:
        """Returns the digests of the originals that photos name, sorted."""
        named = array("Q")
        async with aclosing(self._vectors.list_photos(time_left(self._store_timeout_s))) as photos:
            async for photo in photos:
                tally.photo_count += 1
                if photo.source.store == self._store.name:
                    named.append(_digest(photo.source.key))
        return np.sort(np.array(named, dtype=np.uint64))

    async def _list_originals(
        self, tally: _Tally, named: npt.NDArray[np.uint64], youngest_s: float
    ) -> npt.NDArray[np.uint64]:
        """Returns the digests of our originals, sorted; those that no photo names are orphans."""
        kept = array("Q")
        async for found in self._store.list(KEPT_PREFIX.rstrip("/")):
            photo_id = photo_id_of(found.key)
            if photo_id is None:
                continue
            tally.original_count += 1
            digest = _digest(found.key)
            kept.append(digest)
            if found.modify_time_s > youngest_s:
                continue
            tally.old_original_count += 1
            if not _holds(named, digest):
                tally.find(Orphan(True, photo_id, Source(self._store.name, found.key)))
        return np.sort(np.array(kept, dtype=np.uint64))

    async def _look_for_originals(
        self, tally: _Tally, kept: npt.NDArray[np.uint64], youngest_s: float, time_left: TimeLeft
    ) -> None:
        """Finds photos whose original is gone: ours by the listing, the owner's one by one."""
        looks: set[asyncio.Task[None]] = set()

        async def look(photo: ListedPhoto) -> None:
            if not await self._is_there(photo.source.key):
                tally.find(Orphan(False, photo.photo_id, photo.source))

        try:
            async with aclosing(self._vectors.list_photos(time_left(self._store_timeout_s))) as photos:
                async for photo in photos:
                    if photo.source.store != self._store.name or photo.create_time_s > youngest_s:
                        continue
                    tally.old_photo_count += 1
                    tally.old_owned_count += not is_kept(photo.source)
                    if is_kept(photo.source) and _holds(kept, _digest(photo.source.key)):
                        continue
                    looks.add(asyncio.create_task(look(photo)))
                    if len(looks) == _LOOKS:
                        done, looks = await asyncio.wait(looks, return_when=asyncio.FIRST_COMPLETED)
                        for task in done:
                            task.result()
            await asyncio.gather(*looks)
        finally:
            for task in looks:
                task.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    async def _remove(self, tally: _Tally, max_removals: int, time_left: TimeLeft) -> None:
        for orphan_count, looked_at in (
            (tally.orphaned_original_count, tally.old_original_count),
            (tally.orphaned_photo_count, tally.old_photo_count),
            (tally.orphaned_owned_count, tally.old_owned_count),
        ):
            if are_suspicious(orphan_count, looked_at):
                raise InvalidField(
                    "apply",
                    f"{orphan_count} of {looked_at} are orphans: are this the right database and the right store? None "
                    "is removed",
                )
        if not tally.found:
            return
        await self._vectors.record_audit(
            ExternalAction.RECONCILE,
            time_left(self._store_timeout_s),
            photo_count=min(max_removals, len(tally.found)),
        )
        for orphan in tally.found:
            if tally.removed_count == max_removals:
                return
            # Whoever was late may have come meanwhile.
            photo = await self._vectors.find_photo(orphan.photo_id, time_left(self._store_timeout_s))
            if orphan.is_original:
                if photo is not None and photo.source == orphan.source:
                    continue
                try:
                    await self._store.delete(orphan.source.key)
                except BadKey:
                    continue  # A link to a file of the owner's.
            else:
                if photo is None or photo.source != orphan.source or await self._is_there(orphan.source.key):
                    continue
                await self._remover.delete(orphan.photo_id, "", time_left, needs_token=False)
            tally.removed_count += 1
            tally.untold.append(replace(orphan, is_removed=True))

    async def _is_there(self, key: str) -> bool:
        try:
            await self._store.stat(key)
        except NotFound:
            return False
        return True


def _digest(key: str) -> int:
    """Returns 64 bits of a key: two that agree by chance hide an orphan, and make none."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


def _holds(digests: npt.NDArray[np.uint64], digest: int) -> bool:
    position = int(np.searchsorted(digests, np.uint64(digest)))
    return position < len(digests) and int(digests[position]) == digest
