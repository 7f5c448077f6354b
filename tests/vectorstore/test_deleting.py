"""Deleting: tokens, repeats, the outbox of originals, and consent that runs out."""

import asyncio
import hashlib
from typing import Any

import grpc
import numpy as np
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, ids, photo, random_unit, refused, search

Rng = np.random.Generator
CODE = grpc.StatusCode
TOKEN = "a-token-of-256-random-bits"


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def _delete(stub: Any, photo_id: str, token: str = "") -> pb.DeletePhotoResponse:
    response: pb.DeletePhotoResponse = await stub.DeletePhoto(
        pb.DeletePhotoRequest(photo_id=photo_id, deletion_token=token)
    )
    return response


async def test_a_deleted_photo_is_found_nowhere(stub: Any, rng: Rng, database: Any) -> None:
    vectors = [random_unit(rng), random_unit(rng)]
    added = await add_one(stub, photo(*vectors, deletion_token_sha256=_hash(TOKEN)))
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
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=_hash(TOKEN)))
    first = await _delete(stub, added.photo_id, TOKEN)
    assert await _delete(stub, added.photo_id, TOKEN) == first
    assert await _delete(stub, added.photo_id) == first
    await stub.ConfirmRemoval(pb.ConfirmRemovalRequest(photo_id=added.photo_id))
    first.original_removed = True
    assert await _delete(stub, added.photo_id, TOKEN) == first


async def test_a_wrong_token_and_an_unknown_photo_look_the_same(stub: Any, rng: Rng) -> None:
    guarded = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=_hash(TOKEN)))
    open_ = await add_one(stub, photo(random_unit(rng)))
    gone = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=_hash(TOKEN)))
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
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=_hash(TOKEN)))
    assert (await _delete(stub, added.photo_id)).face_count == 1


async def test_a_deleted_id_may_be_added_anew_and_deleted_anew(stub: Any, rng: Rng) -> None:
    message = photo(random_unit(rng), deletion_token_sha256=_hash("old"))
    first = await add_one(stub, message)
    first_deletion = await _delete(stub, first.photo_id, "old")
    message.deletion_token_sha256 = _hash("new")
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
    await stub.DeleteGallery(pb.DeleteGalleryRequest(name="default"))
    rows = await database.fetch("SELECT action, gallery, photo_id::text, request_id FROM audit_log ORDER BY audit_id")
    assert [row["action"] for row in rows] == [
        "create_gallery",
        "add_photo",
        "delete_photo",
        "confirm_removal",
        "delete_gallery",
    ]
    assert [row["photo_id"] for row in rows] == [None, *[added.photo_id] * 3, None]
    assert all(row["request_id"] for row in rows)
