"""One call to the embedder on which an import's photos are enrolled, several at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Final

from gateway.embedder_client import DEPENDENCY, Embedder
from gateway.records import NewPhoto, StoredPhoto
from runtime.errors import DependencyUnavailable, PeerError, TwinError

# grpc.aio's own words, with the status INTERNAL, where the other side ended the call while a request was written.
_ENDED_WHILE_WRITING: Final = "Internal error from Core"


class ImportStopped(Exception):
    """A failure that every other photo would meet too: the import is not to go on, for now."""

    def __init__(self, error: TwinError) -> None:
        super().__init__()
        self.error = error


class EnrolLine:
    """Photos go in, and each gets its own answer. A photo that is on its way already is not sent twice."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._queue: asyncio.Queue[NewPhoto] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[StoredPhoto]] = {}
        self._broken: TwinError | None = None

    async def enrol(self, photo: NewPhoto) -> StoredPhoto:
        """Enrols one photo; raises PeerError for what is wrong with it, and ImportStopped when the line is broken."""
        if self._broken is not None:
            raise ImportStopped(self._broken)
        answer = self._answers.get(photo.photo_id)
        if answer is None:
            answer = self._answers[photo.photo_id] = asyncio.get_running_loop().create_future()
            # What nobody waits for any more is no failure that somebody has to hear of.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._queue.put_nowait(photo)
        return await asyncio.shield(answer)

    async def run(self, timeout_s: float) -> None:
        """Keeps the line open until it is cancelled, or broken: then everybody who waits hears of it."""
        answers = self._embedder.enroll_many(self._requests(), timeout_s)
        broken: TwinError = DependencyUnavailable(DEPENDENCY)  # It ended without the answers that it owes.
        try:
            async with aclosing(answers):
                async for photo_id, outcome in answers:
                    answer = self._answers.pop(photo_id, None)
                    if answer is None:
                        continue  # Answered twice, or never asked for.
                    if isinstance(outcome, PeerError):
                        answer.set_exception(outcome)
                    else:
                        answer.set_result(outcome)
        except TwinError as error:
            if error.message != _ENDED_WHILE_WRITING:
                broken = error
        finally:
            self._broken = broken
            for answer in self._answers.values():
                answer.set_exception(ImportStopped(broken))
            self._answers.clear()

    async def _requests(self) -> AsyncIterator[NewPhoto]:
        while True:
            yield await self._queue.get()
