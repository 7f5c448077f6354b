"""What a vector store is, in plain Python, and random operations that hold a real one against it."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.vectorstore.wire import DIMENSION, MODEL, add, photo, random_unit, search, take_apart

Rng = np.random.Generator
GALLERIES: Final = ("one", "two")
# Above so many photos, more go than come.
MOST_PHOTOS: Final = 1500
_LIMIT: Final = 5
_COSINE_ERROR: Final = 1e-5


@dataclass
class Model:
    """photo_id → (gallery, message as added, vectors); contents that are there; what was deleted, with its token."""

    photos: dict[str, tuple[str, pb.Photo, list[Vector]]] = field(default_factory=dict)
    id_by_content: dict[tuple[str, bytes], str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    operation_count: int = 0

    def put(self, gallery: str, message: pb.Photo, vectors: list[Vector]) -> None:
        self.photos[message.photo_id] = (gallery, message, vectors)
        self.id_by_content[gallery, message.sha256] = message.photo_id
        self.deleted.pop(message.photo_id, None)

    def remove(self, photo_id: str) -> None:
        gallery, message, _ = self.photos.pop(photo_id, ("", pb.Photo(), []))
        self.id_by_content.pop((gallery, message.sha256), None)

    def drawn(self, rng: Rng) -> str:
        """Returns the id of any photo that is there."""
        known = list(self.photos)
        return known[rng.integers(len(known))]


def _token(photo_id: str) -> str:
    return f"token-of-{photo_id}"


async def _add(stub: Any, model: Model, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(rng.integers(1, 4))]
    photo_id = str(uuid.UUID(bytes=rng.bytes(16)))
    token_hash = hashlib.sha256(_token(photo_id).encode()).digest()
    message = photo(*vectors, photo_id=photo_id, deletion_token_sha256=token_hash)
    gallery = GALLERIES[rng.integers(2)]
    kind = rng.integers(6) if model.photos else 5
    if kind == 0:  # The same again.
        gallery, message, vectors = model.photos[model.drawn(rng)]
    elif kind == 1:  # Other content under a known id.
        message.photo_id = model.drawn(rng)
    elif kind == 2:  # Known content under another id.
        gallery, other, _ = model.photos[model.drawn(rng)]
        message.sha256 = other.sha256
    (answer,) = await add(stub, message, gallery=gallery)
    stored = model.photos.get(message.photo_id)
    same_content = model.id_by_content.get((gallery, message.sha256))
    if stored is not None and (stored[0], stored[1].sha256) == (gallery, message.sha256):
        assert answer.photo.photo_id == message.photo_id
    elif stored is not None:
        assert take_apart(answer.error).metadata == {"photo_id": message.photo_id}
    elif same_content is not None:
        assert take_apart(answer.error).metadata == {"photo_id": same_content}
    else:
        assert answer.HasField("photo"), answer.error
        model.put(gallery, message, vectors)


async def _delete(stub: Any, model: Model, rng: Rng) -> None:
    kind = rng.integers(8)
    candidates: Sequence[str] = list(model.deleted)
    if kind == 0:
        candidates = [str(uuid.uuid4())]
    elif model.photos and (kind < 6 or not candidates):
        candidates = [model.drawn(rng)]
    photo_id = candidates[int(rng.integers(len(candidates)))] if candidates else str(uuid.uuid4())
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
        model.remove(photo_id)
        model.deleted[photo_id] = token


async def _search(stub: Any, model: Model, rng: Rng) -> None:
    gallery = GALLERIES[rng.integers(2)]
    probe = random_unit(rng)
    (result,) = await search(stub, probe, gallery=gallery, limit=_LIMIT)
    faces = [
        (vector, photo_id)
        for photo_id, (place, _, vectors) in model.photos.items()
        if place == gallery
        for vector in vectors
    ]
    cosines = np.array([vector for vector, _ in faces]).reshape(-1, DIMENSION) @ probe
    best = np.argsort(-cosines, kind="stable")[:_LIMIT]
    assert [match.photo_id for match in result.matches] == [faces[place][1] for place in best]
    found = np.array([match.similarity.cosine for match in result.matches])
    assert np.abs(found - cosines[best]).max(initial=0) < _COSINE_ERROR


async def _compare_all(stub: Any, model: Model) -> None:
    facts = {facts.gallery: facts.face_count for facts in (await stub.GetStats(pb.GetStatsRequest())).indexes}
    for gallery in GALLERIES:
        expected = {key: len(vectors) for key, (place, _, vectors) in model.photos.items() if place == gallery}
        listed: dict[str, int] = {}
        token = ""
        while True:
            page = await stub.ListPhotos(pb.ListPhotosRequest(gallery=gallery, page_size=1000, page_token=token))
            listed |= {message.photo_id: len(message.faces) for message in page.photos}
            token = page.next_page_token
            if not token:
                break
        assert listed == expected
        assert facts[gallery] == sum(expected.values())


async def one_opening(stub: Any, model: Model, rng: Rng, operations: int) -> None:
    """Compares a store that was just opened, does operations, each held against the model, and compares again."""
    for name in GALLERIES:
        await stub.CreateGallery(pb.CreateGalleryRequest(name=name, model_id=MODEL, dimension=DIMENSION))
    await _compare_all(stub, model)
    for _ in range(operations):
        kinds = (_add, _delete, _delete, _search) if len(model.photos) > MOST_PHOTOS else (_add, _add, _delete, _search)
        await kinds[rng.integers(4)](stub, model, rng)
        model.operation_count += 1
    await _compare_all(stub, model)
    if rng.integers(2):
        # The next opening then loads this and replays what came after it.
        await stub.CreateSnapshot(pb.CreateSnapshotRequest())
        await _add(stub, model, rng)
        await _delete(stub, model, rng)


async def hold_against_model(
    open_store: Callable[[], AbstractAsyncContextManager[Any]], seed: int, operations: int, openings: int
) -> Model:
    """Opens a store so many times, with so many operations each; raises AssertionError where the two differ."""
    rng = np.random.default_rng(seed)
    model = Model()
    for _ in range(openings):
        async with open_store() as store:
            await one_opening(store.stub, model, rng, operations)
    return model
