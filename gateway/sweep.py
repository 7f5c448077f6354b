"""Finding originals of ours that no photo names: what a crash left, or an enrolment whose outcome was never known.

It removes nothing on any doubt: a store that cannot be listed whole, a vector store that does not answer, or so many
orphans that the wrong database is likelier than that many failures.
"""

import asyncio
import time
from contextlib import aclosing
from typing import Final

from gateway.metrics import ORPHANS
from gateway.photo_store import KEPT_PREFIX, BadKey, PhotoStore, photo_id_of
from gateway.records import ExternalAction, Reservation
from gateway.suspicion import are_suspicious
from gateway.vectorstore_client import VectorStore
from runtime.errors import TwinError
from runtime.logs import get_logger

MIN_AGE_S: Final = 3600.0
MAX_REMOVALS: Final = 1000

_log = get_logger(__name__)


class Sweeper:
    """Removes orphaned originals."""

    def __init__(
        self, vectors: VectorStore, store: PhotoStore, *, store_timeout_s: float, min_age_s: float = MIN_AGE_S
    ) -> None:
        self._vectors = vectors
        self._store = store
        self._store_timeout_s = store_timeout_s
        self._min_age_s = min_age_s

    async def sweep_forever(self, interval_s: float) -> None:
        """Sweeps now and after every interval, until cancelled."""
        while True:
            try:
                await self.sweep_reservations()
                await self.sweep()
            except TwinError as error:
                _log.warning("the sweep was given up", reason=error.reason)
            await asyncio.sleep(interval_s)

    async def sweep_reservations(self) -> int:
        """Removes what was to be stored and whose photo never came, as it was recorded; returns how many.

        It needs no listing of the store, and so finds what a listing does not show yet. Raises TwinError.
        """
        unclaimed: list[Reservation] = []
        async with aclosing(self._vectors.list_reservations(self._min_age_s, self._store_timeout_s)) as reservations:
            async for reservation in reservations:
                # What another store holds is left to the gateway that has it.
                if reservation.source.store == self._store.name and len(unclaimed) < MAX_REMOVALS:
                    unclaimed.append(reservation)
        if not unclaimed:
            return 0
        await self._vectors.record_audit(ExternalAction.RECONCILE, self._store_timeout_s, photo_count=len(unclaimed))
        failure: TwinError | None = None
        for reservation in unclaimed:
            try:
                await self._remove_unclaimed(reservation)
            except TwinError as error:
                # One that cannot be removed does not keep the others.
                failure = error
        if failure is not None:
            raise failure
        return len(unclaimed)

    async def _remove_unclaimed(self, reservation: Reservation) -> None:
        if not await self._is_orphan(reservation.photo_id, reservation.source.key):
            return  # It came just now; the next listing forgets it.
        try:
            await self._store.delete(reservation.source.key)
        except BadKey:
            _log.error("a reserved original's key is none of this store")
        await self._vectors.release_reservation(reservation.reservation_id, self._store_timeout_s)

    async def sweep(self) -> int:
        """Removes the orphans and returns how many; raises TwinError, with nothing removed, on any failure to look."""
        orphans: list[tuple[str, str]] = []
        looked_at = orphan_count = 0
        youngest_s = time.time() - self._min_age_s
        async for found in self._store.list(KEPT_PREFIX.rstrip("/")):
            photo_id = photo_id_of(found.key)
            if photo_id is None or found.modify_time_s > youngest_s:
                continue
            looked_at += 1
            if await self._is_orphan(photo_id, found.key):
                orphan_count += 1
                if len(orphans) < MAX_REMOVALS:
                    orphans.append((photo_id, found.key))
        if are_suspicious(orphan_count, looked_at):
            _log.error(
                "most originals have no photo: is this the right database? None is removed", orphans=orphan_count
            )
            return 0
        if not orphans:
            return 0
        await self._vectors.record_audit(ExternalAction.RECONCILE, self._store_timeout_s, photo_count=len(orphans))
        removed = 0
        for photo_id, key in orphans:
            if not await self._is_orphan(photo_id, key):
                continue  # A late retry has come meanwhile.
            try:
                await self._store.delete(key)
            except BadKey:
                _log.error("what lies among the originals is its owner's")
            else:
                removed += 1
        ORPHANS.inc(removed)
        return removed

    async def _is_orphan(self, photo_id: str, key: str) -> bool:
        photo = await self._vectors.find_photo(photo_id, self._store_timeout_s)
        return photo is None or photo.source.store != self._store.name or photo.source.key != key
