"""Callers that add, delete and take snapshots at random, note what they were told, and look at what is there."""

import asyncio
import contextlib
import hashlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from google.protobuf import duration_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.chaos.history import ADD, DELETE, FAIL, OK, READ, UNKNOWN, History
from tests.vectorstore.wire import DIMENSION, MODEL, photo, query, random_unit

Rng = np.random.Generator
CODE = grpc.StatusCode
GALLERY: Final = "default"
CALL_TIMEOUT_S: Final = 20.0
# A search answers no more; a gallery stays below it, so that one search sees all of it.
_MOST_MATCHES: Final = 1000
_CROWD: Final = 150
# What is answered with these was certainly not done.
_NOT_DONE: Final = frozenset({CODE.NOT_FOUND, CODE.ALREADY_EXISTS, CODE.INVALID_ARGUMENT, CODE.FAILED_PRECONDITION})


def vector_of(key: str, face: int = 0) -> Vector:
    """Returns the vector of a photo's face, which follows from the photo's id."""
    return random_unit(np.random.default_rng([uuid.UUID(key).int & 0xFFFF_FFFF_FFFF, face]))


def photo_of(key: str, face_count: int = 1, **fields: Any) -> pb.Photo:
    """Returns the photo of an id, always the same."""
    vectors = [vector_of(key, face) for face in range(face_count)]
    return photo(*vectors, photo_id=key, sha256=hashlib.sha256(key.encode()).digest(), **fields)


async def make_gallery(stub: Any, name: str = GALLERY) -> None:
    await stub.CreateGallery(pb.CreateGalleryRequest(name=name, model_id=MODEL, dimension=DIMENSION))


@dataclass(slots=True)
class Known:
    """What the callers of one database know of their photos, over all the lives of its stores."""

    history: History = field(default_factory=History)
    # Galleries made and dropped beside the one that the photos are in.
    galleries: History = field(default_factory=History)
    # Acknowledged and not deleted.
    present: set[str] = field(default_factory=set)
    # An answer was lost: added or not, deleted or not.
    unsure: dict[str, str] = field(default_factory=dict)
    # Photos whose consent runs out; they leave by themselves and stay away.
    expiring: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    # Photos of many faces, which are deleted at once.
    crowds: set[str] = field(default_factory=set)
    # Answers that nobody should have been given, in words.
    wrong: list[str] = field(default_factory=list)


class Caller:
    """One caller; operations follow one another, each on keys that nobody else touches meanwhile."""

    def __init__(self, stub: Any, known: Known, rng: Rng) -> None:
        self._stub = stub
        self._known = known
        self._rng = rng

    def _new_keys(self, count: int) -> list[str]:
        return [str(uuid.UUID(bytes=self._rng.bytes(16), version=4)) for _ in range(count)]

    async def add(self, keys: Sequence[str] = (), face_count: int = 1) -> bool:
        """Adds photos by one stream, new ones unless told which; returns whether all were answered well."""
        keys = keys or self._new_keys(int(self._rng.integers(1, 9)))
        return await self._stream(keys, [photo_of(key, face_count) for key in keys])

    async def _stream(self, keys: Sequence[str], photos: Sequence[pb.Photo]) -> bool:
        history = self._known.history
        open_ = {key: history.invoke(ADD, key) for key in keys}

        async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
            for message in photos:
                yield pb.AddPhotosRequest(gallery=GALLERY, photo=message)

        note = ""
        try:
            async for answer in self._stub.AddPhotos(requests(), timeout=CALL_TIMEOUT_S):
                if answer.HasField("photo"):
                    history.end(OK, open_.pop(answer.photo_id))
                    self._known.present.add(answer.photo_id)
                    self._known.unsure.pop(answer.photo_id, None)
                elif _CODES[answer.error.code] in _NOT_DONE:
                    history.end(FAIL, open_.pop(answer.photo_id), note=answer.error.message)
                    self._known.wrong.append(f"{answer.photo_id} was refused: {answer.error.message}")
                else:
                    note = answer.error.message
        except grpc.aio.AioRpcError as error:
            note = error.code().name
        for key, operation in open_.items():
            history.end(UNKNOWN, operation, note=note)
            self._known.unsure[key] = ADD
        return not open_

    async def delete(self) -> None:
        """Deletes a photo of those that are there."""
        there = sorted(self._known.present - self._known.crowds)
        if there:
            await self.delete_this(there[int(self._rng.integers(len(there)))])

    async def delete_this(self, key: str) -> bool:
        """Deletes this photo; returns whether that was answered well."""
        self._known.present.discard(key)
        history = self._known.history
        operation = history.invoke(DELETE, key)
        try:
            await self._stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=key), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            history.end(UNKNOWN, operation, note=error.code().name)
            if error.code() in _NOT_DONE:
                self._known.wrong.append(f"the deletion of {key}, which was there, was refused: {error.details()}")
            self._known.unsure[key] = DELETE
            return False
        history.end(OK, operation)
        self._known.unsure.pop(key, None)
        return True

    async def add_for_a_moment(self) -> None:
        """Adds a photo whose consent runs out at once."""
        (key,) = self._new_keys(1)
        self._known.expiring.add(key)
        consent = pb.Consent(policy_version="1", time_to_live=duration_pb2.Duration(nanos=50_000_000))
        request = pb.AddPhotosRequest(gallery=GALLERY, photo=photo_of(key, consent=consent))
        with contextlib.suppress(grpc.aio.AioRpcError):
            [_ async for _ in self._stub.AddPhotos(iter([request]), timeout=CALL_TIMEOUT_S)]

    async def churn(self) -> None:
        """Adds a photo of a crowd and deletes it: many removed rows."""
        (key,) = self._new_keys(1)
        self._known.crowds.add(key)
        if await self.add([key], _CROWD):
            await self.delete_this(key)

    async def make_and_drop_a_gallery(self) -> None:
        """Makes a gallery of its own, and drops it; galleries are in the history as keys of their own."""
        history, name = self._known.galleries, f"side-{self._rng.integers(1 << 32)}"
        for action in (ADD, DELETE):
            operation = history.invoke(action, name)
            try:
                if action == ADD:
                    await make_gallery(self._stub, name)
                else:
                    await self._stub.DeleteGallery(pb.DeleteGalleryRequest(name=name), timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                history.end(UNKNOWN, operation, note=error.code().name)
                return
            history.end(OK, operation)

    async def snapshot(self) -> None:
        """Asks for a snapshot."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            await self._stub.CreateSnapshot(pb.CreateSnapshotRequest(), timeout=CALL_TIMEOUT_S)

    async def settle_what_is_unsure(self) -> None:
        """Asks again for some of what was never answered, as a caller does who tries again."""
        for key, action in sorted(self._known.unsure.items()):
            if key in self._known.crowds:
                if await self.add([key], _CROWD):
                    await self.delete_this(key)
            elif self._rng.random() < 0.5:
                await (self.add([key]) if action == ADD else self.delete_this(key))


_CODES: Final = {code.value[0]: code for code in CODE}


async def look(stub: Any, known: Known) -> list[str]:
    """Reads everything while nobody changes anything, notes it, and returns in words what does not fit together.

    What the index finds, what PostgreSQL lists and what the photos say of themselves must be the same.
    """
    history, wrong = known.history, known.wrong
    known.wrong = []
    expiring = known.expiring
    operation = history.invoke(READ)
    found = await found_by_search(stub)
    history.end(OK, operation, found.keys() - expiring)
    operation, galleries = history.invoke(READ), known.galleries.invoke(READ)
    listed = await listed_photos(stub)
    history.end(OK, operation, listed.keys() - expiring)
    names = [gallery.name for gallery in (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries]
    known.galleries.end(OK, galleries, [name for name in names if name != GALLERY])
    # Those that expire may do so between the two looks.
    indexed, stored = (Counter({key: n for key, n in seen.items() if key not in expiring}) for seen in (found, listed))
    if indexed != stored:
        wrong.append(f"index and PostgreSQL differ in {sorted((indexed - stored) + (stored - indexed))[:5]}")
    returned = known.expired & (found.keys() | listed.keys())
    if returned:
        wrong.append(f"expired photos came back: {sorted(returned)[:5]}")
    known.expired |= expiring - found.keys() - listed.keys()
    wrong += await _not_found_first(stub, sorted(known.present))
    return wrong


async def found_by_search(stub: Any) -> Counter[str]:
    """Returns every photo of the gallery that a search finds, with how many of its faces."""
    probe = query(random_unit(np.random.default_rng(1)))
    answer = await stub.Search(
        pb.SearchRequest(gallery=GALLERY, queries=[probe], mode=pb.MATCH_MODE_NEAREST, limit=_MOST_MATCHES)
    )
    matches = answer.results[0].matches
    assert len(matches) < _MOST_MATCHES, "the gallery has grown beyond what one search shows"
    assert len({match.face_id for match in matches}) == len(matches), "a face was found twice"
    return Counter(match.photo_id for match in matches)


async def listed_photos(stub: Any, gallery: str = GALLERY) -> Counter[str]:
    """Returns every photo that PostgreSQL holds, with the count of its faces."""
    listed: Counter[str] = Counter()
    token = ""
    while True:
        page = await stub.ListPhotos(pb.ListPhotosRequest(gallery=gallery, page_size=1000, page_token=token))
        for message in page.photos:
            assert message.photo_id not in listed, f"{message.photo_id} is listed twice"
            listed[message.photo_id] = len(message.faces)
        token = page.next_page_token
        if not token:
            return listed


async def _not_found_first(stub: Any, keys: Sequence[str]) -> list[str]:
    """Returns the photos that their own vector does not find first."""
    if not keys:
        return []
    queries = [query(vector_of(key)) for key in keys]
    answer = await stub.Search(pb.SearchRequest(gallery=GALLERY, queries=queries, mode=pb.MATCH_MODE_NEAREST, limit=1))
    wrong = []
    for key, result in zip(keys, answer.results, strict=True):
        if [match.photo_id for match in result.matches] != [key]:
            wrong.append(f"{key} is not what its own vector finds")
    return wrong


async def work(stub: Any, known: Known, seed: Sequence[int], goes_on: Callable[[], bool], churn: float = 2.0) -> None:
    """Lets four callers work at random for as long as it goes on.

    seed: another for each call with the same ``known``, since photo ids follow from it. churn: how often a crowd comes
    and goes.
    """

    async def one(number: int) -> None:
        rng = np.random.default_rng([*seed, number])
        caller = Caller(stub, known, rng)
        others = (caller.delete, caller.add_for_a_moment, caller.snapshot, caller.churn, caller.make_and_drop_a_gallery)
        weights = np.array([8, 2, 2, churn, 1])
        while goes_on():
            # More adds than deletes until there are many, then the other way round.
            if rng.random() < (0.5 if len(known.present) < 200 else 0.1):
                if not await caller.add():
                    await asyncio.sleep(0.02)
            else:
                await others[rng.choice(len(others), p=weights / weights.sum())]()

    await asyncio.gather(*(one(number) for number in range(4)))
