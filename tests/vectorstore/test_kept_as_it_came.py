"""Photos and faces are kept as they came, whatever parts they have."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from google.protobuf import duration_pb2
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add_many, photo, random_unit

Rng = np.random.Generator
_POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
# Of the longest text that is kept, and in UTF-8 of four bytes each.
_LONG = "\N{GRINNING FACE}" * 1024


async def _check_kept(stub: Any, photos: Sequence[pb.Photo], response: pb.AddPhotosResponse) -> None:
    for message, result in zip(photos, response.results, strict=True):
        kept = (await stub.GetPhoto(pb.GetPhotoRequest(photo_id=message.photo_id))).photo
        expected = pb.Photo()
        expected.CopyFrom(message)
        # Shown to nobody.
        expected.ClearField("deletion_token_sha256")
        expected.create_time.CopyFrom(result.stored.create_time)
        for stored, face_id in zip(expected.faces, result.stored.face_ids, strict=True):
            stored.face_id = face_id
            stored.face.ClearField("embedding")
        assert kept == expected


async def test_every_shape_of_photo_is_kept_as_it_came(stub: Any, rng: Rng, database: Any) -> None:
    photos = []
    for place in range(64):
        message = photo(random_unit(rng))
        message.width, message.height = place, 2**31 - 1 - place
        if place & 1:
            message.person, message.collection, message.original_filename = "Ada", _LONG, "Häuser/日本.jpg"
        if place & 2:
            message.source.CopyFrom(pb.PhotoSource(store="drive", key=_LONG))
        if place & 4:
            message.deletion_token_sha256 = rng.bytes(32)
        if place & 8:
            message.consent.policy_version = "2026-11"
        if place & 24 == 24:
            message.consent.grant_time.FromJsonString("2026-02-28T23:59:59.999999Z")
        if place & 40 == 40:
            message.consent.time_to_live.FromTimedelta(timedelta(days=400, hours=5, microseconds=7))
        photos.append(message)
    (response,) = await add_many(stub, photos)
    await _check_kept(stub, photos, response)
    rows = await database.fetch(
        "SELECT expire_time, coalesce(consent_grant_time, create_time) AS begin_time, consent_time_to_live, "
        "deletion_token_sha256 FROM photos ORDER BY revision"
    )
    assert [row["deletion_token_sha256"] for row in rows] == [message.deletion_token_sha256 for message in photos]
    ends = [row for row in rows if row["consent_time_to_live"] is not None]
    assert len(ends) == 16
    for row in rows:
        # Microsecond by microsecond, and null with a null.
        expected = row["begin_time"] + row["consent_time_to_live"] if row in ends else None
        assert row["expire_time"] == expected


async def test_every_shape_of_face_is_kept_as_it_came(stub: Any, rng: Rng) -> None:
    """Faces that lack parts, have several issues or names of any length are rows of different lengths."""
    photos = []
    for place in range(64):
        message = photo(*[random_unit(rng) for _ in range(1 + place % 3)], persons=["", "Ada", "Grace Höpper"])
        for stored in message.faces:
            face = stored.face
            face.primary = bool(place % 2)
            face.detection_score = place / 64
            if place & 1:
                face.ClearField("box")
            if place & 2:
                point = face_pb2.Point(x=1.5, y=-2.25)
                face.landmarks.CopyFrom(face_pb2.Landmarks(**dict.fromkeys(_POINTS, point)))
            if place & 4:
                issues = list(face_pb2.QualityIssue.values())[1 : 1 + (place >> 3) % 4]
                face.quality.CopyFrom(face_pb2.Quality(score=0.5, yaw_degrees=-12.5, size_pixels=80, issues=issues))
        if place & 32:
            message.consent.policy_version = "v1"
            message.consent.grant_time.GetCurrentTime()
            message.consent.time_to_live.CopyFrom(duration_pb2.Duration(seconds=86_400))
        photos.append(message)
    (response,) = await add_many(stub, photos)
    await _check_kept(stub, photos, response)


async def test_vectors_are_kept_to_the_last_bit(start_store: StartStore, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(50)]
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        (response,) = await add_many(store.stub, [photo(vector) for vector in vectors])
        face_ids = np.array([result.stored.face_ids[0] for result in response.results])
        assert np.array_equal(
            store.service._adder._follower._projection.get("default").index.reconstruct(face_ids), np.stack(vectors)
        )
    # And from PostgreSQL, without the rows that the writer kept.
    async with start_store("another") as store:
        assert np.array_equal(
            store.service._adder._follower._projection.get("default").index.reconstruct(face_ids), np.stack(vectors)
        )
