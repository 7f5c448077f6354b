"""What each kind of bad input is answered, through the services as they run."""

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from twin.embedder.v1 import embedder_pb2 as em
from twin.embedder.v1 import embedder_pb2_grpc as em_grpc
from twin.face.v1 import face_pb2
from twin.gateway.v1 import gateway_pb2 as gw
from twin.gateway.v1 import gateway_pb2_grpc as gw_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.status import error_info, status_from_rpc_error
from tests.support import photos
from tests.support.stack import Stack

TIMEOUT_S = 30.0
OPTIONS = [("grpc.max_send_message_length", 128 * 2**20)]
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


class Stubs:
    def __init__(self, stack: Stack) -> None:
        self._channels = {
            name: grpc.insecure_channel(stack.addresses[name], options=OPTIONS)
            for name in ("gateway", "embedder", "vectorstore")
        }
        self.gateway = gw_grpc.TwinServiceStub(self._channels["gateway"])
        self.embedder = em_grpc.EmbedderServiceStub(self._channels["embedder"])
        self.store = vs_grpc.VectorStoreServiceStub(self._channels["vectorstore"])
        self.model = self.embedder.GetModel(em.GetModelRequest(), timeout=TIMEOUT_S)

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def counts(self) -> tuple[int, int]:
        stats = self.gateway.GetStats(gw.GetStatsRequest(), timeout=TIMEOUT_S)
        return stats.photo_count, stats.face_count


@pytest.fixture(scope="module")
def stubs(stack: Stack) -> Iterator[Stubs]:
    stubs = Stubs(stack)
    yield stubs
    stubs.close()


def refusal(call: Callable[[], Message]) -> tuple[grpc.StatusCode, str, list[str]]:
    """Returns the status, the reason, and the fields that the answer names."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = status_from_rpc_error(caught.value)
    info = error_info(status)
    request = error_details_pb2.BadRequest()
    fields = [
        violation.field for detail in status.details if detail.Unpack(request) for violation in request.field_violations
    ]
    assert status.ByteSize() < 4_000
    return caught.value.code(), info.reason if info is not None else "", fields


def kept_files(stack: Stack) -> list[Path]:
    return sorted(path for path in stack.data_dir.joinpath("photos").rglob("*") if path.is_file())


def bad_images(solvay: Path) -> dict[str, tuple[bytes, grpc.StatusCode, str]]:
    whole = solvay.read_bytes()
    return {
        "text named .jpg": (b"This is no picture, whatever its name says.\n" * 20, INVALID, "UNREADABLE_IMAGE"),
        "an empty file": (b"", INVALID, "UNREADABLE_IMAGE"),
        "a truncated JPEG": (whole[: len(whole) // 2], INVALID, "UNREADABLE_IMAGE"),
        "a 30,000 × 30,000 header": (photos.huge_header_png(), INVALID, "IMAGE_TOO_LARGE"),
        "a 25 MiB file": (whole + bytes(25 * 2**20), INVALID, "IMAGE_TOO_LARGE"),
        "no face": (photos.no_face_jpeg(), PRECONDITION, "NO_FACE"),
    }


KINDS = ["text named .jpg", "an empty file", "a truncated JPEG", "a 30,000 × 30,000 header", "a 25 MiB file", "no face"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_image_is_refused_everywhere_and_nothing_of_it_is_kept(
    stubs: Stubs, stack: Stack, solvay_photo: Path, newton_photo: Path, kind: str
) -> None:
    image, code, reason = bad_images(solvay_photo)[kind]
    before = stubs.counts()
    originals = kept_files(stack)
    consent = gw.ConsentGrant(
        policy_version=stubs.gateway.GetStats(gw.GetStatsRequest(), timeout=TIMEOUT_S).policy_version
    )
    good = newton_photo.read_bytes()
    calls: dict[str, Callable[[], Message]] = {
        "Search": lambda: stubs.gateway.Search(gw.SearchRequest(image=image, consent=consent), timeout=TIMEOUT_S),
        "AddPhoto": lambda: stubs.gateway.AddPhoto(gw.AddPhotoRequest(image=image, consent=consent), timeout=TIMEOUT_S),
        "Compare": lambda: stubs.gateway.Compare(
            gw.CompareRequest(first_image=good, second_image=image), timeout=TIMEOUT_S
        ),
        "Embed": lambda: stubs.embedder.Embed(em.EmbedRequest(image=image), timeout=TIMEOUT_S),
    }
    for name, call in calls.items():
        assert refusal(call)[:2] == (code, reason), name
    answers = list(
        stubs.embedder.EmbedStream(
            iter([em.EmbedStreamRequest(image_id="bad", image=em.EmbedRequest(image=image))]), timeout=TIMEOUT_S
        )
    )
    assert [answer.image_id for answer in answers] == ["bad"]
    info = error_info(answers[0].error)
    assert info is not None and info.reason == reason
    assert stubs.counts() == before
    assert kept_files(stack) == originals


def test_a_message_over_the_transports_limit_is_the_librarys_own_answer(stubs: Stubs) -> None:
    image = bytes(49 * 2**20)
    code, _, _ = refusal(lambda: stubs.embedder.Embed(em.EmbedRequest(image=image), timeout=TIMEOUT_S))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_face_index_that_is_not_there_is_named(stubs: Stubs, newton_photo: Path) -> None:
    image = newton_photo.read_bytes()
    expected = (INVALID, "FACE_INDEX_OUT_OF_RANGE", ["face_index"])
    assert (
        refusal(lambda: stubs.gateway.Search(gw.SearchRequest(image=image, face_index=9), timeout=TIMEOUT_S))
        == expected
    )
    assert (
        refusal(lambda: stubs.embedder.Embed(em.EmbedRequest(image=image, face_index=9), timeout=TIMEOUT_S)) == expected
    )


@pytest.mark.parametrize("limit", [-1, 101])
def test_a_limit_out_of_range_is_refused(stubs: Stubs, newton_photo: Path, limit: int) -> None:
    request = gw.SearchRequest(image=newton_photo.read_bytes(), limit=limit)
    assert refusal(lambda: stubs.gateway.Search(request, timeout=TIMEOUT_S)) == (INVALID, "INVALID_FIELD", ["limit"])


def unit_vector(dimension: int) -> bytes:
    vector = np.zeros(dimension, dtype="<f4")
    vector[0] = 1
    return vector.tobytes()


def query(stubs: Stubs, data: bytes, *, model_id: str = "") -> vs.Query:
    return vs.Query(embedding=face_pb2.Embedding(float32_le=data, model_id=model_id or stubs.model.model_id))


@pytest.mark.parametrize("limit", [-1, 1_001])
def test_the_stores_limit_out_of_range_is_refused(stubs: Stubs, limit: int) -> None:
    request = vs.SearchRequest(queries=[query(stubs, unit_vector(512))], limit=limit)
    assert refusal(lambda: stubs.store.Search(request, timeout=TIMEOUT_S)) == (INVALID, "INVALID_FIELD", ["limit"])


@pytest.mark.parametrize("count", [0, 5_000])
def test_no_queries_and_five_thousand_are_refused(stubs: Stubs, count: int) -> None:
    request = vs.SearchRequest(queries=[query(stubs, unit_vector(512))] * count)
    assert refusal(lambda: stubs.store.Search(request, timeout=TIMEOUT_S)) == (INVALID, "INVALID_FIELD", ["queries"])


@pytest.mark.parametrize(
    "data",
    [
        unit_vector(511),
        unit_vector(513),
        b"",
        struct.pack("<512f", *[float("nan")] * 512),
        struct.pack("<512f", float("inf"), *[0.0] * 511),
        bytes(2_048),
        struct.pack("<512f", 2.0, *[0.0] * 511),
    ],
    ids=["511 numbers", "513 numbers", "nothing", "NaN", "Inf", "zero", "length 2"],
)
def test_a_vector_that_is_none_is_refused(stubs: Stubs, data: bytes) -> None:
    request = vs.SearchRequest(queries=[query(stubs, data)])
    code, reason, fields = refusal(lambda: stubs.store.Search(request, timeout=TIMEOUT_S))
    assert (code, reason) == (INVALID, "INVALID_FIELD")
    assert fields and fields[0].startswith("queries")


def test_another_models_vector_is_refused(stubs: Stubs) -> None:
    request = vs.SearchRequest(queries=[query(stubs, unit_vector(512), model_id="another-model")])
    assert refusal(lambda: stubs.store.Search(request, timeout=TIMEOUT_S))[:2] == (PRECONDITION, "MODEL_MISMATCH")


def test_an_unknown_gallery_is_not_found(stubs: Stubs, newton_photo: Path) -> None:
    expected = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
    image = newton_photo.read_bytes()
    in_gateway = gw.SearchRequest(image=image, gallery="nobody-made-this")
    in_store = vs.SearchRequest(queries=[query(stubs, unit_vector(512))], gallery="nobody-made-this")
    assert refusal(lambda: stubs.gateway.Search(in_gateway, timeout=TIMEOUT_S))[:2] == expected
    assert refusal(lambda: stubs.store.Search(in_store, timeout=TIMEOUT_S))[:2] == expected


def test_a_galleries_name_is_checked(stubs: Stubs, newton_photo: Path) -> None:
    request = gw.SearchRequest(image=newton_photo.read_bytes(), gallery="No Such Name!")
    assert refusal(lambda: stubs.gateway.Search(request, timeout=TIMEOUT_S)) == (INVALID, "INVALID_FIELD", ["gallery"])


def test_a_malformed_uuid_is_refused(stubs: Stubs) -> None:
    expected = (INVALID, "INVALID_FIELD", ["photo_id"])
    by_gateway = gw.DeletePhotoRequest(photo_id="not-a-uuid", deletion_token="x" * 43)
    by_store = vs.GetPhotoRequest(photo_id="not-a-uuid")
    assert refusal(lambda: stubs.gateway.DeletePhoto(by_gateway, timeout=TIMEOUT_S)) == expected
    assert refusal(lambda: stubs.store.GetPhoto(by_store, timeout=TIMEOUT_S)) == expected


def test_a_stranger_is_not_admin(stubs: Stubs) -> None:
    expected = (grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING")
    request = gw.ImportPhotosRequest(folder="x")
    assert refusal(lambda: next(stubs.gateway.ImportPhotos(request, timeout=TIMEOUT_S)))[:2] == expected
    metadata = (("authorization", "Bearer wrong"),)
    call = lambda: next(stubs.gateway.ImportPhotos(request, timeout=TIMEOUT_S, metadata=metadata))  # noqa: E731
    assert refusal(call)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "UNKNOWN_KEY")


def test_rubbish_on_every_port_leaves_the_services_serving(stubs: Stubs, stack: Stack, newton_photo: Path) -> None:
    for address in stack.addresses.values():
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"\x00\xff rubbish \r\n\r\n" * 100)
    answer = stubs.gateway.Search(gw.SearchRequest(image=newton_photo.read_bytes()), timeout=TIMEOUT_S)
    assert answer.results[0].twins
