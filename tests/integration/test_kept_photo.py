"""A photo that was saved with consent: found, still found after a power cut, and gone everywhere after its deletion."""

import io
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import grpc
import pytest
from PIL import Image
from twin.gateway.v1 import gateway_pb2 as gw
from twin.gateway.v1 import gateway_pb2_grpc as gw_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs
from twin.vectorstore.v1 import vectorstore_pb2_grpc as vs_grpc

from runtime.status import error_info, status_from_rpc_error
from tests.support.stack import Stack

TIMEOUT_S = 30.0


class Client:
    """Calls one stack's gateway and vector store; made anew after every restart, since the ports change."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._channel = grpc.insecure_channel(stack.addresses["gateway"])
        self._store_channel = grpc.insecure_channel(stack.addresses["vectorstore"])
        self.gateway = gw_grpc.TwinServiceStub(self._channel)
        self.store = vs_grpc.VectorStoreServiceStub(self._store_channel)

    def close(self) -> None:
        self._channel.close()
        self._store_channel.close()

    def search(self, image: bytes, *, consent: bool = False) -> gw.SearchResponse:
        grant = gw.ConsentGrant(policy_version=self.policy_version()) if consent else None
        return self.gateway.Search(gw.SearchRequest(image=image, limit=20, consent=grant), timeout=TIMEOUT_S)

    def policy_version(self) -> str:
        return self.gateway.GetStats(gw.GetStatsRequest(), timeout=TIMEOUT_S).policy_version

    def found_ids(self, image: bytes) -> set[str]:
        result = self.search(image).results[0]
        return {twin.match.photo_id for twin in (*result.twins, *result.yourself)}

    def url_of(self, image: bytes, photo_id: str) -> str:
        result = self.search(image).results[0]
        path = next(twin.image_url for twin in result.yourself if twin.match.photo_id == photo_id)
        return f"http://{self._stack.addresses['gateway_http']}{path}"

    def is_known(self, photo_id: str) -> bool:
        try:
            self.store.GetPhoto(vs.GetPhotoRequest(photo_id=photo_id), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND
            return False
        return True


def http_status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def files_with_pixels(folder: Path) -> list[Path]:
    """Every file under the folder that an image library can open."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and "postgres" not in path.parts:
            try:
                with Image.open(path) as image:
                    image.verify()
            except (OSError, SyntaxError):
                continue
            found.append(path)
    return found


def test_a_kept_photo_outlives_a_power_cut_and_its_deletion_is_final(own_stack: Stack, newton_photo: Path) -> None:
    image = newton_photo.read_bytes()
    client = Client(own_stack)
    assert client.found_ids(image) == set()
    assert files_with_pixels(own_stack.data_dir) == []

    saved = client.search(image, consent=True)
    assert not saved.HasField("save_error"), saved.save_error
    receipt = saved.saved_photo
    uuid.UUID(receipt.photo_id)
    assert len(receipt.deletion_token) >= 43, "256 bits in base64url"
    assert receipt.photo_id not in {twin.match.photo_id for twin in saved.results[0].yourself}
    assert client.found_ids(image) == {receipt.photo_id}
    client.close()

    own_stack.kill_everything()
    own_stack.start()
    client = Client(own_stack)
    assert client.found_ids(image) == {receipt.photo_id}
    url = client.url_of(image, receipt.photo_id)
    assert http_status(url) == 200

    wrong = gw.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token="A" * 43)
    unknown = gw.DeletePhotoRequest(photo_id=str(uuid.uuid4()), deletion_token=receipt.deletion_token)
    refusals = []
    for request in (wrong, unknown):
        with pytest.raises(grpc.RpcError) as caught:
            client.gateway.DeletePhoto(request, timeout=TIMEOUT_S)
        refusals.append((caught.value.code(), caught.value.details()))
    assert refusals[0] == refusals[1]
    assert refusals[0][0] is grpc.StatusCode.NOT_FOUND

    request = gw.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
    answers = [client.gateway.DeletePhoto(request, timeout=TIMEOUT_S) for _ in range(2)]
    assert answers[0] == answers[1] == gw.DeletePhotoResponse(face_count=1, original_removed=True)
    assert client.found_ids(image) == set()
    assert http_status(url) == 404
    assert not client.is_known(receipt.photo_id)
    assert files_with_pixels(own_stack.data_dir) == []
    client.close()

    own_stack.kill_everything()
    own_stack.start()
    client = Client(own_stack)
    assert client.found_ids(image) == set()
    assert not client.is_known(receipt.photo_id)
    assert client.gateway.DeletePhoto(request, timeout=TIMEOUT_S) == answers[0]
    client.close()


def test_nothing_is_kept_without_consent(own_stack: Stack, newton_photo: Path) -> None:
    image = newton_photo.read_bytes()
    client = Client(own_stack)
    client.search(image)
    with pytest.raises(grpc.RpcError) as caught:
        client.gateway.AddPhoto(gw.AddPhotoRequest(image=image), timeout=TIMEOUT_S)
    info = error_info(status_from_rpc_error(caught.value))
    assert info is not None and info.reason == "CONSENT_MISSING"
    assert client.gateway.GetStats(gw.GetStatsRequest(), timeout=TIMEOUT_S).photo_count == 0
    assert files_with_pixels(own_stack.data_dir) == []
    client.close()


def test_a_kept_photo_is_served_without_its_metadata(own_stack: Stack, newton_photo: Path) -> None:
    with Image.open(newton_photo) as source:
        exif = Image.Exif()
        exif[0x010E] = "a secret place"
        buffer = io.BytesIO()
        source.convert("RGB").save(buffer, "JPEG", quality=95, exif=exif, comment=b"a secret place")
    client = Client(own_stack)
    saved = client.search(buffer.getvalue(), consent=True)
    assert not saved.HasField("save_error"), saved.save_error
    pieces = client.gateway.GetPhoto(gw.GetPhotoRequest(photo_id=saved.saved_photo.photo_id), timeout=TIMEOUT_S)
    original = b"".join(piece.data for piece in pieces)
    assert b"a secret place" in buffer.getvalue()
    assert b"a secret place" not in original
    with Image.open(io.BytesIO(original)) as kept:
        assert not kept.getexif()
    client.close()


def test_a_service_that_is_killed_comes_back_by_itself(own_stack: Stack, newton_photo: Path) -> None:
    image = newton_photo.read_bytes()
    client = Client(own_stack)
    receipt = client.search(image, consent=True).saved_photo
    for name in ("embedder", "vectorstore", "gateway"):
        own_stack.service_process(name).kill()
        found = None
        for _ in range(120):
            try:
                found = client.found_ids(image)
                break
            except grpc.RpcError as error:
                assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), error
                time.sleep(0.5)
        assert found == {receipt.photo_id}, name
    client.close()
