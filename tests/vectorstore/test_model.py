"""Random operations against a plain Python model of what a vector store is, with reopenings."""

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add, photo, random_unit, search, take_apart

Rng = np.random.Generator
GALLERIES = ("one", "two")
OPERATIONS = 150


@dataclass
class Model:
    """photo_id → (gallery, message as added); what was deleted, with its token."""

    photos: dict[str, tuple[str, pb.Photo]] = field(default_factory=dict)
    vectors: dict[str, list[Vector]] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)


def _token(photo_id: str) -> str:
    return f"token-of-{photo_id}"


async def _add(stub: Any, model: Model, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(rng.integers(1, 4))]
    photo_id = str(uuid.UUID(bytes=rng.bytes(16)))
    token_hash = hashlib.sha256(_token(photo_id).encode()).digest()
    message = photo(*vectors, photo_id=photo_id, deletion_token_sha256=token_hash)
    known = list(model.photos)
    gallery = GALLERIES[rng.integers(2)]
    kind = rng.integers(6)
    if kind == 0 and known:  # The same again.
        message.photo_id = known[rng.integers(len(known))]
        gallery, message = model.photos[message.photo_id]
    elif kind == 1 and known:  # Other content under a known id.
        message.photo_id = known[rng.integers(len(known))]
    elif kind == 2 and known:  # Known content under another id.
        gallery, other = model.photos[known[rng.integers(len(known))]]
        message.sha256 = other.sha256
    (answer,) = await add(stub, message, gallery=gallery)
    stored = model.photos.get(message.photo_id)
    content = (gallery, message.sha256)
    same_content = [known_id for known_id, (place, other) in model.photos.items() if (place, other.sha256) == content]
    if stored is not None:
        if (stored[0], stored[1].sha256) == content:
            assert answer.photo.photo_id == message.photo_id
        else:
            assert take_apart(answer.error).metadata == {"photo_id": message.photo_id}
    elif same_content:
        assert take_apart(answer.error).metadata == {"photo_id": same_content[0]}
    else:
        assert answer.HasField("photo"), answer.error
        model.photos[message.photo_id] = (gallery, message)
        model.vectors[message.photo_id] = vectors
        model.deleted.pop(message.photo_id, None)


async def _delete(stub: Any, model: Model, rng: Rng) -> None:
    candidates = [*model.photos, *model.deleted, str(uuid.uuid4())]
    photo_id = candidates[rng.integers(len(candidates))]
    token = ("", _token(photo_id), "wrong")[rng.integers(3)]
    known = photo_id in model.photos or photo_id in model.deleted
    try:
        await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=photo_id, deletion_token=token))
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert not known or token == "wrong"
    else:
        assert known
        assert token != "wrong"
        model.photos.pop(photo_id, None)
        model.vectors.pop(photo_id, None)
        model.deleted[photo_id] = token


async def _search(stub: Any, model: Model, rng: Rng) -> None:
    gallery = GALLERIES[rng.integers(2)]
    probe = random_unit(rng)
    (result,) = await search(stub, probe, gallery=gallery, limit=5)
    cosines = sorted(
        (
            (float(vector @ probe), photo_id)
            for photo_id, (place, _) in model.photos.items()
            if place == gallery
            for vector in model.vectors[photo_id]
        ),
        reverse=True,
    )[:5]
    assert [match.photo_id for match in result.matches] == [photo_id for _, photo_id in cosines]
    assert [match.similarity.cosine for match in result.matches] == pytest.approx([c for c, _ in cosines], abs=1e-5)


async def _compare_all(stub: Any, model: Model) -> None:
    for gallery in GALLERIES:
        expected = {photo_id for photo_id, (place, _) in model.photos.items() if place == gallery}
        listed = await stub.ListPhotos(pb.ListPhotosRequest(gallery=gallery, page_size=1000))
        assert {message.photo_id for message in listed.photos} == expected
    facts = {facts.gallery: facts.face_count for facts in (await stub.GetStats(pb.GetStatsRequest())).indexes}
    for gallery in GALLERIES:
        faces = [len(model.vectors[photo_id]) for photo_id, (place, _) in model.photos.items() if place == gallery]
        assert facts[gallery] == sum(faces)


@pytest.mark.parametrize("seed", range(3))
async def test_random_operations_agree_with_a_plain_model(start_store: StartStore, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = Model()
    for _ in range(4):
        async with start_store() as store:
            for name in GALLERIES:
                await store.stub.CreateGallery(pb.CreateGalleryRequest(name=name, model_id=MODEL, dimension=DIMENSION))
            await _compare_all(store.stub, model)
            for _ in range(OPERATIONS):
                operation = (_add, _add, _delete, _search)[rng.integers(4)]
                await operation(store.stub, model, rng)
            await _compare_all(store.stub, model)
            if rng.integers(2):
                # The next opening then loads this and replays what came after it.
                await store.stub.CreateSnapshot(pb.CreateSnapshotRequest())
                await _add(store.stub, model, rng)
                await _delete(store.stub, model, rng)
