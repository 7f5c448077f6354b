"""What the tests say to a vector store: messages made quickly, answers and errors taken apart."""

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import numpy as np
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector, encode_vector

MODEL = "model-a"
DIMENSION = 32


def unit(vector: Any) -> Vector:
    values = np.asarray(vector, dtype=np.float64)
    return (values / np.linalg.norm(values)).astype(np.float32)


def random_unit(rng: np.random.Generator, dimension: int = DIMENSION) -> Vector:
    return unit(rng.normal(size=dimension))


def at_cosine(rng: np.random.Generator, vector: Vector, cosine: float) -> Vector:
    """Returns a unit vector at exactly this cosine to another."""
    noise = rng.normal(size=len(vector))
    noise -= noise @ vector * vector
    return unit(cosine * vector + np.sqrt(1 - cosine**2) * noise / np.linalg.norm(noise))


def embedding(vector: Vector, model_id: str = MODEL) -> face_pb2.Embedding:
    return face_pb2.Embedding(float32_le=encode_vector(vector), model_id=model_id)


def photo(*vectors: Vector, persons: Iterable[str] = (), **fields: Any) -> pb.Photo:
    names = [*persons, *[""] * len(vectors)]
    content = uuid.uuid4()
    message = pb.Photo(
        photo_id=fields.pop("photo_id", str(uuid.uuid4())),
        sha256=fields.pop("sha256", content.bytes * 2),
        source=fields.pop("source", pb.PhotoSource(store="local", key=f"{content}.jpg")),
        width=640,
        height=480,
        **fields,
    )
    for index, vector in enumerate(vectors):
        stored = message.faces.add(person=names[index])
        stored.face.index = index
        stored.face.box.CopyFrom(face_pb2.Box(left=index, top=2, width=30, height=40))
        stored.face.detection_score = 0.5
        stored.face.embedding.CopyFrom(embedding(vector))
    return message


def token_hash(token: str) -> bytes:
    """Returns what is kept of a deletion token."""
    return hashlib.sha256(token.encode()).digest()


def query(target: Vector | int) -> pb.Query:
    return pb.Query(face_id=target) if isinstance(target, int) else pb.Query(embedding=embedding(target))


async def add(stub: Any, *photos: pb.Photo, gallery: str = "") -> list[pb.AddPhotosResponse]:
    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        for message in photos:
            yield pb.AddPhotosRequest(gallery=gallery, photo=message)

    return [response async for response in stub.AddPhotos(requests())]


async def add_one(stub: Any, message: pb.Photo, gallery: str = "") -> pb.Photo:
    (response,) = await add(stub, message, gallery=gallery)
    assert response.WhichOneof("result") == "photo", response.error
    return response.photo


async def add_many(stub: Any, *messages: Sequence[pb.Photo], gallery: str = "") -> list[pb.AddPhotosResponse]:
    """Adds photos on one stream, many a message; returns the answers."""

    async def requests() -> AsyncIterator[pb.AddPhotosRequest]:
        for photos in messages:
            yield pb.AddPhotosRequest(gallery=gallery, photos=photos)

    return [response async for response in stub.AddPhotos(requests())]


def outcomes(response: pb.AddPhotosResponse) -> list[str]:
    """Returns what became of each photo: stored, or the reason why not."""
    return ["stored" if result.HasField("stored") else take_apart(result.error).reason for result in response.results]


async def search(stub: Any, *targets: Vector | int, **fields: Any) -> list[pb.SearchResult]:
    fields.setdefault("mode", pb.MATCH_MODE_NEAREST)
    response = await stub.Search(pb.SearchRequest(queries=[query(target) for target in targets], **fields))
    return list(response.results)


def ids(matches: Iterable[pb.Match]) -> list[str]:
    return [match.photo_id for match in matches]


@dataclass
class Refusal:
    """A status taken apart."""

    code: grpc.StatusCode | None = None
    reason: str = ""
    message: str = ""
    metadata: dict[str, str] | None = None
    fields: tuple[str, ...] = ()
    retry: bool = False


def take_apart(status: status_pb2.Status) -> Refusal:
    codes = {code.value[0]: code for code in grpc.StatusCode}
    refusal = Refusal(code=codes[status.code], message=status.message)
    for detail in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "twin"
            refusal.reason, refusal.metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            refusal.fields = tuple(violation.field for violation in bad.field_violations)
        elif detail.Unpack(retry):
            refusal.retry = True
    return refusal


@contextlib.contextmanager
def refused(code: grpc.StatusCode, reason: str) -> Iterator[Refusal]:
    """Expects the call in the block to end with this status; what it carried is filled in."""
    refusal = Refusal()
    try:
        yield refusal
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # The stubs know the synchronous error only.
        assert status is not None, error
        found = take_apart(status)
        assert (found.code, found.reason) == (code, reason), (found, error.details())
        for name in ("code", "reason", "message", "metadata", "fields", "retry"):
            setattr(refusal, name, getattr(found, name))
    else:
        raise AssertionError(f"expected {code} {reason}, and the call succeeded")
