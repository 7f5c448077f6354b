"""Deleting: tokens, repeats, the outbox of originals, and consent that runs out."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore, Store
from tests.vectorstore.wire import (
    DIMENSION,
    MODEL,
    add_one,
    ids,
    photo,
    random_unit,
    refused,
    search,
    take_apart,
    token_hash,
)

Rng = np.random.Generator
CODE = grpc.StatusCode
TOKEN = "a-token-of-256-random-bits"


async def _delete(stub: Any, photo_id: str, token: str = "") -> pb.DeletePhotoResponse:
    response: pb.DeletePhotoResponse = await stub.DeletePhoto(
        pb.DeletePhotoRequest(photo_id=photo_id, deletion_token=token)
    )
    return response


async def test_a_deleted_photo_is_found_nowhere(stub: Any, rng: Rng, database: Any) -> None:
    vectors = [random_unit(rng), random_unit(rng)]
    added = await add_one(stub, photo(*vectors, deletion_token_sha256=token_hash(TOKEN)))
    answer = await _delete(stub, added.photo_id, TOKEN)
    assert (answer.face_count, answer.source, answer.original_removed) == (2, added.source, False)
    for result in await search(stub, *vectors):
        assert not result.matches
    for call in (
        stub.GetPhoto(pb.GetPhotoRequest(photo_id=added.photo_id)),
        search(stub, added.faces[0].face_id),
    ):
        with refused(CODE.NOT_FOUND, "NOT_FOUND"):
            await call
    assert await database.fetchval("SELECT count(*) FROM faces") == 0


async def test_deleting_again_answers_the_same(stub: Any, rng: Rng) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    first = await _delete(stub, added.photo_id, TOKEN)
    assert await _delete(stub, added.photo_id, TOKEN) == first
    assert await _delete(stub, added.photo_id) == first
    await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added.photo_id))
    first.original_removed = True
    assert await _delete(stub, added.photo_id, TOKEN) == first


async def test_a_wrong_token_and_an_unknown_photo_look_the_same(stub: Any, rng: Rng) -> None:
    guarded = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    open_ = await add_one(stub, photo(random_unit(rng)))
    gone = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    await _delete(stub, gone.photo_id, TOKEN)
    unknown = "123e4567-e89b-42d3-a456-426614174000"
    refusals = []
    for photo_id in (unknown, guarded.photo_id, open_.photo_id, gone.photo_id):
        with refused(CODE.NOT_FOUND, "NOT_FOUND") as refusal:
            await _delete(stub, photo_id, "wrong")
        refusals.append(refusal)
    assert all(refusal == refusals[0] for refusal in refusals)
    assert guarded == (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=guarded.photo_id))).photo


async def test_an_admin_needs_no_token(stub: Any, rng: Rng) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    assert (await _delete(stub, added.photo_id)).face_count == 1


async def test_a_deleted_id_may_be_added_anew_and_deleted_anew(stub: Any, rng: Rng) -> None:
    message = photo(random_unit(rng), deletion_token_sha256=token_hash("old"))
    first = await add_one(stub, message)
    first_deletion = await _delete(stub, first.photo_id, "old")
    message.deletion_token_sha256 = token_hash("new")
    second = await add_one(stub, message)
    assert second.faces[0].face_id > first.faces[0].face_id
    assert await _delete(stub, message.photo_id, "old") == first_deletion
    assert second == (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=message.photo_id))).photo
    second_deletion = await _delete(stub, message.photo_id, "new")
    assert second_deletion.revision > first_deletion.revision


async def test_originals_stay_queued_until_confirmed(stub: Any, rng: Rng) -> None:
    added = [await add_one(stub, photo(random_unit(rng))) for _ in range(5)]
    for message in added:
        await _delete(stub, message.photo_id)
    first = await stub.ListRemovals(pb.ListRemovalsRequest(page_size=3))
    rest = await stub.ListRemovals(pb.ListRemovalsRequest(page_size=3, page_token=first.next_page_token))
    listed = [*first.removals, *rest.removals]
    assert [(removal.photo_id, removal.source) for removal in listed] == [(m.photo_id, m.source) for m in added]
    assert not rest.next_page_token
    for _ in range(2):
        await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added[1].photo_id))
    left = (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
    assert [removal.photo_id for removal in left] == [added[place].photo_id for place in (0, 2, 3, 4)]


async def test_the_queue_of_originals_survives_a_restart(start_store: StartStore, rng: Rng) -> None:
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        added = await add_one(store.stub, photo(random_unit(rng)))
        await _delete(store.stub, added.photo_id)
    async with start_store() as store:
        (removal,) = (await store.stub.ListRemovals(pb.ListRemovalsRequest())).removals
        assert (removal.photo_id, removal.source) == (added.photo_id, added.source)


async def test_an_original_that_a_photo_still_uses_is_not_to_be_removed(stub: Any, rng: Rng) -> None:
    source = pb.PhotoSource(store="local", key="shared.jpg")
    first = await add_one(stub, photo(random_unit(rng), source=source))
    second = await add_one(stub, photo(random_unit(rng), source=source))
    await _delete(stub, first.photo_id)
    assert not (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
    await _delete(stub, second.photo_id)
    assert len((await stub.ListRemovals(pb.ListRemovalsRequest())).removals) == 2


async def _until_one_photo_is_left(stub: Any) -> None:
    while (await stub.ListGalleries(pb.ListGalleriesRequest())).galleries[0].photo_count > 1:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_a_photo_goes_when_its_consent_runs_out(start_store: StartStore, rng: Rng, database: Any) -> None:
    async with start_store(expiry_interval_s=0.05) as store:
        stub = store.stub
        await stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vector = random_unit(rng)
        kept = await add_one(stub, photo(random_unit(rng)))
        message = photo(vector)
        message.consent.grant_time.GetCurrentTime()
        message.consent.time_to_live.FromMilliseconds(500)
        await add_one(stub, message)
        await _until_one_photo_is_left(stub)
        (removal,) = (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
        assert removal.photo_id == message.photo_id
        stats = await stub.GetStats(pb.GetStatsRequest())
        (result,) = await search(stub, vector, min_revision=stats.database_revision)
        assert ids(result.matches) == [kept.photo_id]
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE action = 'expire_photo'") == 1


async def test_every_change_is_in_the_audit_log(stub: Any, rng: Rng, database: Any) -> None:
    added = await add_one(stub, photo(random_unit(rng)))
    await _delete(stub, added.photo_id)
    await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added.photo_id))
    other = await add_one(stub, photo(random_unit(rng)))
    await stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
    rows = await database.fetch("SELECT *, photo_id::text AS id FROM audit_log ORDER BY audit_id")
    assert [row["action"] for row in rows] == [
        "create_gallery",
        "add_photo",
        "delete_photo",
        "confirm_removal",
        "add_photo",
        "delete_gallery",
    ]
    assert [row["id"] for row in rows] == [None, *[added.photo_id] * 3, other.photo_id, None]
    assert all(row["request_id"] for row in rows)
    assert [row["photo_count"] for row in rows] == [*[None] * 5, 1]


async def test_many_photos_are_deleted_in_one_transaction_each_with_an_outcome(
    stub: Any, rng: Rng, database: Any
) -> None:
    vectors = [random_unit(rng) for _ in range(30)]
    added = [await add_one(stub, photo(vector, deletion_token_sha256=token_hash(TOKEN))) for vector in vectors[:20]]
    unknown = "123e4567-e89b-42d3-a456-426614174000"
    named = [message.photo_id for message in added[:10]]
    answer = await stub.DeletePhotos(pb.DeletePhotosRequest(photo_ids=[*named, unknown, "nonsense", named[0]]))
    assert [result.photo_id for result in answer.results] == [*named, unknown, "nonsense", named[0]]
    assert all(result.deleted.face_count == 1 for result in answer.results[:10])
    assert [result.deleted.source for result in answer.results[:10]] == [message.source for message in added[:10]]
    assert [take_apart(result.error).reason for result in answer.results[10:12]] == ["NOT_FOUND", "INVALID_FIELD"]
    assert answer.results[12].deleted == answer.results[0].deleted
    rows = await database.fetch("SELECT face_ids FROM changes WHERE kind = 'delete_photo'")
    assert [sorted(row["face_ids"]) for row in rows] == [[message.faces[0].face_id for message in added[:10]]]
    assert await database.fetchval("SELECT count(*) FROM audit_log WHERE action = 'delete_photo'") == 10
    for result, left in zip(await search(stub, *vectors[:20], limit=1), [False] * 10 + [True] * 10, strict=True):
        assert (result.matches[0].similarity.cosine > 0.999) is left
    again = await stub.DeletePhotos(pb.DeletePhotosRequest(photo_ids=named))
    assert list(again.results) == list(answer.results[:10])


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_call_deletes_neither_nothing_nor_too_much(stub: Any, count: int) -> None:
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD") as refusal:
        await stub.DeletePhotos(pb.DeletePhotosRequest(photo_ids=["123e4567-e89b-42d3-a456-426614174000"] * count))
    assert refusal.fields == ("photo_ids",)


async def _ask_at_once(store: Store, asked: list[tuple[str, str]]) -> list[asyncio.Task[pb.DeletePhotoResponse]]:
    """Asks for deletions while nobody may write: the first waits for its turn, and all others for the first."""
    database, deleter = store.service._database, store.service._deleter
    calls = []
    async with asyncio.timeout(10):
        for queued, (photo_id, token) in enumerate(asked):
            calls.append(asyncio.create_task(_delete(store.stub, photo_id, token)))
            while (database._waiting_writers, deleter._queue.qsize()) != (1, queued):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    return calls


async def test_deletions_that_are_asked_for_at_once_are_committed_together(
    store: Store, stub: Any, rng: Rng, database: Any
) -> None:
    added = [await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN))) for _ in range(40)]
    right, wrong = added[:32], added[32:]
    # While this is held the first one cannot be committed, and the others come to wait behind it.
    async with store.service._database._write_turn:
        asked = [(message.photo_id, TOKEN) for message in right] + [(message.photo_id, "wrong") for message in wrong]
        calls = await _ask_at_once(store, asked)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, pb.DeletePhotoResponse) for outcome in outcomes] == [True] * 32 + [False] * 8
    assert all(outcome.code() is CODE.NOT_FOUND for outcome in outcomes[32:])  # type: ignore[union-attr]
    assert await database.fetchval("SELECT count(*) FROM changes WHERE kind = 'delete_photo'") == 2
    assert await database.fetchval("SELECT count(*) FROM photos") == 8
    deletions = [outcome for outcome in outcomes if isinstance(outcome, pb.DeletePhotoResponse)]
    assert len({deletion.deletion_id for deletion in deletions}) == 32


async def test_two_tokens_for_one_photo_at_once_each_have_their_answer(store: Store, stub: Any, rng: Rng) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    async with store.service._database._write_turn:
        tokens = ["wrong", TOKEN, TOKEN, "wrong", ""]
        calls = await _ask_at_once(store, [(added.photo_id, token) for token in tokens])
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(outcome, pb.DeletePhotoResponse) for outcome in outcomes] == [False, True, True, False, True]
    assert outcomes[1] == outcomes[2] == outcomes[4]


async def test_more_deletions_than_may_wait_are_refused(
    store: Store, stub: Any, rng: Rng, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = await add_one(stub, photo(random_unit(rng)))
    monkeypatch.setattr(store.service._deleter._queue, "_maxsize", 2)
    async with store.service._database._write_turn:
        calls = [asyncio.create_task(_delete(stub, added.photo_id)) for _ in range(20)]
        done, _ = await asyncio.wait(calls, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        assert done
        for call in done:
            with refused(CODE.RESOURCE_EXHAUSTED, "OVERLOADED"):
                await call
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert any(isinstance(outcome, pb.DeletePhotoResponse) for outcome in outcomes)


async def test_a_confirmed_removal_is_one_deletions(stub: Any, rng: Rng) -> None:
    """Who removes originals may confirm late: the id can have been added anew, and deleted again, meanwhile."""
    message = photo(random_unit(rng))
    first_source, second_source = (pb.PhotoSource(store="local", key=f"{name}.jpg") for name in ("first", "second"))
    message.source.CopyFrom(first_source)
    await add_one(stub, message)
    first = await _delete(stub, message.photo_id)
    message.source.CopyFrom(second_source)
    await add_one(stub, message)
    second = await _delete(stub, message.photo_id)
    listed = (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
    assert [removal.deletion_id for removal in listed] == [first.deletion_id, second.deletion_id]
    await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=message.photo_id, deletion_id=first.deletion_id))
    (left,) = (await stub.ListRemovals(pb.ListRemovalsRequest())).removals
    assert (left.deletion_id, left.source) == (second.deletion_id, second_source)
    other = await add_one(stub, photo(random_unit(rng)))
    await _delete(stub, other.photo_id)
    with refused(CODE.NOT_FOUND, "NOT_FOUND"):
        await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=other.photo_id, deletion_id=first.deletion_id))
    with refused(CODE.INVALID_ARGUMENT, "INVALID_FIELD"):
        await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=other.photo_id, deletion_id=-1))


async def test_consents_that_run_out_together_go_together(start_store: StartStore, rng: Rng, database: Any) -> None:
    async with start_store(expiry_interval_s=3600) as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        vectors = [random_unit(rng) for _ in range(50)]
        for vector in vectors:
            message = photo(vector)
            message.consent.time_to_live.FromSeconds(3600)
            await add_one(store.stub, message)
        await database.execute(
            "UPDATE photos SET expire_time = now() "
            "WHERE photo_id IN (SELECT photo_id FROM photos ORDER BY revision LIMIT 45)"
        )
        assert await store.service._deleter.delete_expired() == 45
        assert await database.fetchval("SELECT count(*) FROM changes WHERE kind = 'delete_photo'") == 1
        head = await database.fetchval("SELECT max(revision) FROM changes")
        found = await search(store.stub, *vectors, min_revision=head, limit=1)
        assert [result.matches[0].similarity.cosine > 0.999 for result in found] == [False] * 45 + [True] * 5
        assert len((await store.stub.ListRemovals(pb.ListRemovalsRequest())).removals) == 45
