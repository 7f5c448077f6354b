"""Looking after the photo store: searching goes on without it, so that only the probes and the metrics tell."""

import asyncio
from typing import Final

from gateway.metrics import STORE_UP
from gateway.photo_store import PhotoStore
from runtime.errors import TwinError
from runtime.logs import get_logger
from runtime.readiness import Readiness

_PART: Final = "photo store"
_INTERVAL_S: Final = 30.0
# While it is not there: how soon its return is seen.
_RETRY_S: Final = 2.0
_log = get_logger(__name__)


class StoreWatch:
    """Looks at the store now and then, and says what is wrong with it."""

    def __init__(self, store: PhotoStore, readiness: Readiness) -> None:
        self._store = store
        self._readiness = readiness
        self._trouble = ""

    async def watch_forever(self) -> None:
        """Looks until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_RETRY_S if self._trouble else _INTERVAL_S)

    async def look(self) -> None:
        """Looks once."""
        try:
            await self._store.check()
            trouble = ""
        except TwinError as error:
            trouble = error.message
        STORE_UP.set(0 if trouble else 1)
        self._readiness.mark_degraded(_PART, trouble)
        if trouble != self._trouble:
            if trouble:
                _log.error("the photo store cannot be used; searching goes on", reason=trouble)
            else:
                _log.info("the photo store can be used again")
        self._trouble = trouble
