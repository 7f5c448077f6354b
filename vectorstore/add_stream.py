"""One stream of photos to add: read ahead within a window, answered in the order of its messages."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime import failpoints
from runtime.byte_budget import ByteBudget
from runtime.errors import InvalidField
from runtime.interceptor import status_of
from runtime.names import check_gallery_name
from vectorstore import convert, incoming
from vectorstore.adding import Outcome, PhotoAdder
from vectorstore.duplicate_faces import DuplicateFaces
from vectorstore.projection import Projection
from vectorstore.records import StoredPhoto

# Photos of one stream that are not answered yet, or whose answers nobody has fetched.
WINDOW_PHOTOS: Final = 4096
# From so many faces on, decoding them would hold up the event loop for milliseconds.
_MANY_PHOTOS: Final = 16


@dataclass(frozen=True, slots=True)
class Begun:
    """A message of the stream whose photos are on their way, or why they are not."""

    # The photos as they were sent, one where the message was of the form for one.
    photo_ids: tuple[str, ...]
    is_many: bool
    # Those that were submitted; the others are refused already, by their place.
    outcome: "asyncio.Future[list[Outcome]] | Exception"
    refused: Mapping[int, Exception]

    @property
    def cost(self) -> int:
        """What it takes of the window."""
        return max(1, len(self.photo_ids))

    def abandon(self) -> None:
        """Nobody waits for the answer any more: photos that are still queued are not added."""
        if isinstance(self.outcome, asyncio.Future):
            self.outcome.cancel()


class AddStream:
    """Reads a caller's messages and yields an answer to each."""

    def __init__(
        self,
        adder: PhotoAdder,
        projection: Projection,
        duplicates: DuplicateFaces,
        window_photos: int | None = None,
    ) -> None:
        self._adder = adder
        self._projection = projection
        self._duplicates = duplicates
        self._window = ByteBudget(WINDOW_PHOTOS if window_photos is None else window_photos)

    async def answers(self, messages: AsyncIterator[pb.AddPhotosRequest]) -> AsyncGenerator[pb.AddPhotosResponse]:
        """Yields the answers; when the caller leaves, what is still queued is not added."""
        # Bounded by the window.
        pending: asyncio.Queue[Begun | None] = asyncio.Queue()
        reader = asyncio.create_task(self._read(messages, pending))
        begun: Begun | None = None
        try:
            while (begun := await pending.get()) is not None:
                answer = await _answer(begun)
                await failpoints.reach_async("add.before_answer")
                yield answer
                # Only now: an answer that is not fetched takes room too.
                self._window.give_back(begun.cost)
            await reader
        finally:
            reader.cancel()
            while begun is not None:
                begun.abandon()
                begun = pending.get_nowait() if not pending.empty() else None

    async def _read(self, messages: AsyncIterator[pb.AddPhotosRequest], pending: "asyncio.Queue[Begun | None]") -> None:
        try:
            async for message in messages:
                await self._window.take(max(1, len(message.photos)))
                pending.put_nowait(await self.begin(message))
        finally:
            pending.put_nowait(None)

    async def begin(self, message: pb.AddPhotosRequest) -> Begun:
        """Submits the message's photos, as far as they are right."""
        is_many = bool(message.photos)
        photos = message.photos if is_many else [message.photo]
        photo_ids = tuple(photo.photo_id for photo in photos)
        try:
            if is_many and message.HasField("photo"):
                raise InvalidField("photo", "is set beside photos; a message has one or the other")
            if len(photos) > incoming.MAX_PHOTOS:
                raise InvalidField("photos", f"at most {incoming.MAX_PHOTOS} are added by one message")
            view = self._projection.get(check_gallery_name(message.gallery))
            gallery = view.gallery
            if len(photos) < _MANY_PHOTOS:
                decoded = incoming.photos_from_wire(photos, gallery)
            else:
                decoded = await asyncio.to_thread(incoming.photos_from_wire, photos, gallery)
            if message.refuse_duplicate_faces:
                decoded = await self._duplicates.refuse(view, decoded)
            refused = {place: photo for place, photo in enumerate(decoded) if isinstance(photo, Exception)}
            right = [photo for photo in decoded if not isinstance(photo, Exception)]
            if not right:
                return Begun(photo_ids, is_many, _done([]), refused)
            answer = await self._adder.submit(right, gallery, wants_photos=not is_many)
        except Exception as error:
            return Begun(photo_ids, is_many, error, {})
        return Begun(photo_ids, is_many, answer, refused)


def _done(outcomes: list[Outcome]) -> "asyncio.Future[list[Outcome]]":
    future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
    future.set_result(outcomes)
    return future


async def _answer(begun: Begun) -> pb.AddPhotosResponse:
    outcomes = await _outcomes(begun)
    if not begun.is_many:
        return _answer_to_one(begun.photo_ids[0], outcomes[0])
    revisions = [outcome.revision for outcome in outcomes if isinstance(outcome, StoredPhoto)]
    message = pb.AddPhotosResponse(revision=max(revisions, default=0))
    # Nearly all photos of an answer were added at the same time.
    times: dict[datetime | None, Timestamp | None] = {None: None}
    for photo_id, outcome in zip(begun.photo_ids, outcomes, strict=True):
        if not isinstance(outcome, StoredPhoto):
            message.results.add(photo_id=photo_id, error=status_of(outcome))
            continue
        create_time = outcome.create_time
        if create_time is not None and create_time not in times:
            times[create_time] = convert.time_to_wire(create_time)
        result = message.results.add(photo_id=str(outcome.photo_id))
        convert.write_stored(result.stored, outcome, times[create_time])
    return message


async def _outcomes(begun: Begun) -> list[Outcome]:
    """Returns every photo's outcome, in the order of the message."""
    if isinstance(begun.outcome, Exception):
        return [begun.outcome] * len(begun.photo_ids)
    try:
        submitted = iter(await begun.outcome)
    except Exception as error:
        submitted = iter([error] * len(begun.photo_ids))
    places = range(len(begun.photo_ids))
    return [begun.refused[place] if place in begun.refused else next(submitted) for place in places]


def _answer_to_one(photo_id: str, outcome: Outcome) -> pb.AddPhotosResponse:
    if isinstance(outcome, StoredPhoto) and outcome.photo is not None:
        return pb.AddPhotosResponse(
            photo_id=str(outcome.photo_id), photo=convert.photo_to_wire(outcome.photo), revision=outcome.revision
        )
    assert isinstance(outcome, Exception)
    return pb.AddPhotosResponse(photo_id=photo_id, error=status_of(outcome))
