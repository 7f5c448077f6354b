"""Photos made ready for a commit while another one is under way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import Store
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_many, outcomes, photo, random_unit, search, take_apart
from vectorstore import adding

Rng = np.random.Generator


class HeldCommit:
    """The next commit, which begins when it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = asyncio.Event()
        self._released = asyncio.Event()
        store_photos = adding.store_photos  # type: ignore[attr-defined]

        async def held(*arguments: Any) -> Any:
            self.reached.set()
            await self._released.wait()
            return await store_photos(*arguments)

        monkeypatch.setattr(adding, "store_photos", held)

    def let_go(self) -> None:
        self._released.set()


async def test_who_comes_during_a_commit_is_committed_together(
    store: Store, stub: Any, rng: Rng, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adder, commit = store.service._adder, HeldCommit(monkeypatch)
    adding_all = [asyncio.create_task(add(stub, photo(random_unit(rng))))]
    await commit.reached.wait()
    for count in range(1, 11):
        adding_all.append(asyncio.create_task(add(stub, photo(random_unit(rng)))))
        # One by one, and all of them wait.
        await _until(lambda count=count: adder._queued_photos == count)  # type: ignore[misc]
    commit.let_go()
    await asyncio.gather(*adding_all)
    assert await database.fetchval("SELECT count(*) FROM changes WHERE kind = 'add_photo'") == 2


async def test_a_full_batch_is_made_ready_while_another_is_committed(
    store: Store, stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    adder, commit = store.service._adder, HeldCommit(monkeypatch)
    first = asyncio.create_task(add(stub, photo(random_unit(rng))))
    await commit.reached.wait()
    photos = [photo(random_unit(rng)) for _ in range(adding.MAX_BATCH_PHOTOS)]
    many = asyncio.create_task(add_many(stub, photos[:512], photos[512:]))
    await _until(lambda: adder._uncommitted == 2 and not adder._ready.empty())
    commit.let_go()
    answers = await many
    await first
    assert [outcomes(answer) for answer in answers] == [["stored"] * 512] * 2


async def test_photos_that_are_there_already_are_left_out_of_what_was_made_ready(
    store: Store, stub: Any, rng: Rng, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enough for two galleries' photos to be made ready together, in a thread, and in the turn again."""
    await stub.CreateGallery(pb.CreateGalleryRequest(name="another", model_id=MODEL, dimension=DIMENSION))
    photos = [photo(random_unit(rng), random_unit(rng)) for _ in range(100)]
    (known,) = await add_many(stub, photos[::7])
    commit = HeldCommit(monkeypatch)

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        for start in range(0, 100, 10):
            # In turns, so that neither gallery's follow one another.
            yield pb.AddPhotosRequest(photos=photos[start : start + 5])
            yield pb.AddPhotosRequest(gallery="another", photos=photos[start + 5 : start + 10])

    first = asyncio.create_task(add(stub, photo(random_unit(rng))))
    await commit.reached.wait()
    others = asyncio.create_task(_answers(stub.AddPhotos(requests())))
    await _until(lambda: store.service._adder._queued_photos == 100)
    commit.let_go()
    answers = await others
    await first
    results = [result for answer in answers for result in answer.results]
    assert [result.photo_id for result in results] == [one.photo_id for one in photos]
    # Those before, and all of these together, one for each gallery.
    assert await database.fetchval("SELECT count(*) FROM changes WHERE kind = 'add_photo'") == 2 + 2
    for place, (one, result) in enumerate(zip(photos, results, strict=True)):
        if place % 7 == 0:
            was = known.results[place // 7]
            assert result == was if place % 10 < 5 else take_apart(result.error).reason == "DUPLICATE_PHOTO"
            continue
        found = (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=one.photo_id))).photo
        assert (found.source, found.sha256) == (one.source, one.sha256)
        assert [face.face_id for face in found.faces] == list(result.stored.face_ids)
        matches = await search(
            stub, *[_vector(face) for face in one.faces], limit=1, gallery="another" if place % 10 >= 5 else ""
        )
        assert [match.matches[0].face_id for match in matches] == list(result.stored.face_ids)


async def test_of_one_id_in_two_galleries_the_first_is_added(
    store: Store, stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = HeldCommit(monkeypatch)
    await stub.CreateGallery(pb.CreateGalleryRequest(name="another", model_id=MODEL, dimension=DIMENSION))
    one = photo(random_unit(rng))

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        # The gallery that was made later first.
        yield pb.AddPhotosRequest(gallery="another", photo=one)
        yield pb.AddPhotosRequest(photo=one)

    first = asyncio.create_task(add(stub, photo(random_unit(rng))))
    await commit.reached.wait()
    others = asyncio.create_task(_answers(stub.AddPhotos(requests())))
    await _until(lambda: store.service._adder._queued_photos == 2)
    commit.let_go()
    answers = await others
    await first
    assert answers[0].HasField("photo")
    assert take_apart(answers[1].error).reason == "DUPLICATE_PHOTO"


async def test_a_batch_made_ready_whose_caller_left_is_not_added(
    store: Store, stub: Any, rng: Rng, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    adder, commit = store.service._adder, HeldCommit(monkeypatch)
    first = asyncio.create_task(add(stub, photo(random_unit(rng))))
    await commit.reached.wait()
    many = asyncio.create_task(add_many(stub, [photo(random_unit(rng)) for _ in range(900)]))  # noqa: RUF006 - awaited
    await _until(lambda: adder._uncommitted == 2 and not adder._ready.empty())
    many.cancel()
    with pytest.raises(asyncio.CancelledError):
        await many
    # The server is told a little later.
    await _until(lambda: adder._ready._queue[0].waiting[0].answer.done())  # type: ignore[attr-defined]
    commit.let_go()
    await first
    await _until(lambda: adder._uncommitted == 0)
    assert (adder._photos._taken, adder._bytes._taken) == (0, 0)
    assert await database.fetchval("SELECT count(*) FROM photos") == 1


async def _answers(stream: AsyncIterator[pb.AddPhotosResponse]) -> list[pb.AddPhotosResponse]:
    return [answer async for answer in stream]


def _vector(stored: pb.StoredFace) -> Any:
    return np.frombuffer(stored.face.embedding.float32_le, "<f4")


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for wakes nobody
            await asyncio.sleep(0.005)
