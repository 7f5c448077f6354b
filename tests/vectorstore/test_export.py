"""Exporting: everything that is held about a photo, for whoever holds its token and nobody else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import Store
from tests.vectorstore.wire import MODEL, add_one, photo, random_unit, refused, token_hash
from vectorstore import change_log

Rng = np.random.Generator
CODE = grpc.StatusCode
TOKEN = "a-token-of-256-random-bits"
UNKNOWN = "123e4567-e89b-42d3-a456-426614174000"


async def _export(stub: Any, photo_id: str, token: str = "") -> pb.ExportPhotoResponse:
    response: pb.ExportPhotoResponse = await stub.ExportPhoto(
        pb.ExportPhotoRequest(photo_id=photo_id, deletion_token=token)
    )
    return response


async def _exports(database: Any) -> list[str]:
    rows = await database.fetch("SELECT photo_id, gallery FROM audit_log WHERE action = 'export_photo'")
    assert all(row["gallery"] == "default" for row in rows)
    return [str(row["photo_id"]) for row in rows]


async def test_an_export_is_all_that_was_given_embeddings_included(stub: Any, rng: Rng, database: Any) -> None:
    message = photo(
        random_unit(rng),
        random_unit(rng),
        persons=["", "Charles"],
        person="Ada",
        collection="portraits",
        original_filename="ada.jpg",
        deletion_token_sha256=token_hash(TOKEN),
    )
    grant_time = datetime.now(UTC).replace(microsecond=0)
    message.consent.policy_version = "2026-11"
    message.consent.grant_time.FromDatetime(grant_time)
    message.consent.time_to_live.FromTimedelta(timedelta(days=30))
    face = message.faces[0].face
    face.landmarks.nose.CopyFrom(face_pb2.Point(x=5, y=6))
    face.quality.sharpness = 0.5
    face.quality.issues.append(face_pb2.QUALITY_ISSUE_TOO_DARK)
    added = await add_one(stub, message)

    answer = await _export(stub, added.photo_id, TOKEN)
    for stored, given in zip(added.faces, message.faces, strict=True):
        stored.face.embedding.CopyFrom(given.face.embedding)
    assert answer.photo == added
    assert answer.photo.faces[0].face.embedding.model_id == MODEL
    assert answer.gallery == "default"
    assert answer.expire_time.ToDatetime(UTC) == grant_time + timedelta(days=30)
    assert await _exports(database) == [added.photo_id]


async def test_a_photo_without_an_end_to_its_consent_has_no_time_to_go(stub: Any, rng: Rng) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    assert not (await _export(stub, added.photo_id, TOKEN)).HasField("expire_time")


async def test_a_wrong_token_and_an_unknown_photo_look_the_same(stub: Any, rng: Rng, database: Any) -> None:
    guarded = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    open_ = await add_one(stub, photo(random_unit(rng)))
    gone = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=gone.photo_id))
    refusals = []
    for photo_id, token in (
        (UNKNOWN, TOKEN),
        (guarded.photo_id, "wrong"),
        (open_.photo_id, "wrong"),
        (gone.photo_id, "wrong"),
        (gone.photo_id, TOKEN),
        (UNKNOWN, ""),
    ):
        with refused(CODE.NOT_FOUND, "NOT_FOUND") as refusal:
            await _export(stub, photo_id, token)
        refusals.append(refusal)
    assert all(refusal == refusals[0] for refusal in refusals)
    assert await _exports(database) == []


async def test_whoever_has_no_right_to_a_photo_waits_for_no_writer(stub: Any, rng: Rng, database: Any) -> None:
    """Both refusals are answered while somebody has the turn, so that neither takes it, nor longer than the other."""
    guarded = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    async with database.transaction():
        await change_log.take_turn(database)
        async with asyncio.timeout(10):
            for photo_id, token in ((UNKNOWN, TOKEN), (guarded.photo_id, "wrong")):
                with refused(CODE.NOT_FOUND, "NOT_FOUND"):
                    await _export(stub, photo_id, token)


async def test_an_admin_needs_no_token(stub: Any, rng: Rng, database: Any) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    assert (await _export(stub, added.photo_id)).photo.photo_id == added.photo_id
    assert await _exports(database) == [added.photo_id]


@pytest.mark.parametrize("token", [TOKEN, ""])
async def test_a_photo_that_is_deleted_meanwhile_is_not_handed_out(
    store: Store, stub: Any, rng: Rng, database: Any, token: str
) -> None:
    added = await add_one(stub, photo(random_unit(rng), deletion_token_sha256=token_hash(TOKEN)))
    async with store.service._database._write_turn:
        exporting = asyncio.ensure_future(_export(stub, added.photo_id, token))
        async with asyncio.timeout(10):
            while store.service._database._waiting_writers != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await database.execute("DELETE FROM photos")
    with refused(CODE.NOT_FOUND, "NOT_FOUND"):
        await exporting
    assert await _exports(database) == []
