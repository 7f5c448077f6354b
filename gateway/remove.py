"""Deleting a photo: first so that nothing finds or serves it, then its original, tried until it is gone."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from gateway.checks import token_to_check
from gateway.deadlines import TimeLeft, no_caller
from gateway.metrics import PENDING_REMOVALS, REMOVALS
from gateway.photo_store import BadKey, PhotoStore, is_kept
from gateway.records import Removal
from gateway.renditions import Renditions
from gateway.vectorstore_client import VectorStore
from runtime.errors import DependencyUnavailable, TwinError
from runtime.logs import get_logger

_MAX_EACH_TIME = 10_000
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Removed:
    """What a deletion did. original_removed is False while its removal is still being retried."""

    face_count: int
    original_removed: bool


class Remover:
    """Deletes photos, and goes on with what could not be finished."""

    def __init__(
        self,
        vectors: VectorStore,
        store: PhotoStore,
        renditions: Renditions,
        *,
        store_timeout_s: float,
        retry_s: float,
    ) -> None:
        self._vectors = vectors
        self._store = store
        self._renditions = renditions
        self._store_timeout_s = store_timeout_s
        self._retry_s = retry_s
        self._wake = asyncio.Event()

    async def delete(self, photo_id: str, deletion_token: str, time_left: TimeLeft, *, needs_token: bool) -> Removed:
        """Deletes a photo everywhere; raises NotFound, in the same words for an unknown photo and a wrong token."""
        token = token_to_check(deletion_token, "delete", needs_token=needs_token)
        deletion = await self._vectors.delete_photo(photo_id, token, time_left(self._store_timeout_s))
        await self._renditions.purge(photo_id)
        if deletion.original_removed:
            return Removed(deletion.face_count, original_removed=True)
        try:
            await self._remove_original(Removal(photo_id, deletion.source, deletion.deletion_id), time_left)
        except TwinError as error:
            _log.warning("an original's removal is left to the retry", reason=error.reason)
            self._wake.set()
            return Removed(deletion.face_count, original_removed=False)
        return Removed(deletion.face_count, original_removed=True)

    async def retry_forever(self) -> None:
        """Removes what is left over from earlier deletions and from photos whose time was up; until cancelled."""
        while True:
            try:
                await self.retry_once()
            except TwinError as error:
                _log.warning("pending removals cannot be listed", reason=error.reason)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), self._retry_s)
                # What has just failed is not tried again at once.
                await asyncio.sleep(min(1.0, self._retry_s))
            except TimeoutError:
                pass

    async def retry_once(self) -> int:
        """Tries each pending removal once; returns how many are left. Raises TwinError when they cannot be listed."""
        left = 0
        # Listed to the end before any is confirmed: a confirmed one no longer counts towards the pages.
        pending: list[Removal] = []
        async with aclosing(self._vectors.list_removals(self._store_timeout_s)) as removals:
            async for removal in removals:
                pending.append(removal)
                if len(pending) == _MAX_EACH_TIME:
                    break
        for removal in pending:
            await self._renditions.purge(removal.photo_id)
            try:
                await self._remove_original(removal, no_caller)
            except TwinError as error:
                left += 1
                _log.warning("an original could not be removed", reason=error.reason)
        PENDING_REMOVALS.set(left)
        return left

    async def _remove_original(self, removal: Removal, time_left: TimeLeft) -> None:
        """Removes an original of ours and has that recorded; the owner's own file stays, and nothing is left to do."""
        source = removal.source
        if is_kept(source):
            if source.store != self._store.name:
                # It is ours, and out of reach: confirming it would only make it forgotten.
                raise DependencyUnavailable(source.store)
            try:
                await self._store.delete(source.key)
            except BadKey:
                _log.error("an original's key leads out of the store")
            else:
                REMOVALS.inc()
        await self._vectors.confirm_removal(removal.photo_id, removal.deletion_id, time_left(self._store_timeout_s))
