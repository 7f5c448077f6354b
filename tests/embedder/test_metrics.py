"""What a real embedder tells its operators, and what its settings change, through its own ports."""

from pathlib import Path

import grpc
import numpy as np
import pytest
from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc as pb_grpc

from runtime.vectors import decode_vector
from tests.support.embedder_process import EmbedderProcess, running_embedder


def embed(embedder: EmbedderProcess, photo: Path | bytes, **fields: int) -> pb.EmbedResponse:
    data = photo if isinstance(photo, bytes) else photo.read_bytes()
    with grpc.insecure_channel(embedder.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = pb_grpc.EmbedderServiceStub(channel)
        response: pb.EmbedResponse = stub.Embed(pb.EmbedRequest(image=data, **fields), timeout=60)  # type: ignore[arg-type]
        return response


def test_operators_see_what_was_done_and_how(models_dir: Path, six_faces_photo: Path, gauss_photo: Path) -> None:
    with running_embedder(models_dir) as embedder:
        embed(embedder, six_faces_photo, faces=pb.FACE_CHOICE_ALL)
        embed(embedder, gauss_photo)
        for _ in range(3):
            with pytest.raises(grpc.RpcError):
                embed(embedder, b"no picture")
        assert embedder.metric("twin_embedder_images_total", outcome="ok") >= 2
        assert embedder.metric("twin_embedder_images_total", outcome="unreadable_image") == 3
        assert embedder.metric("twin_embedder_image_faces_count") >= 2
        assert embedder.metric("twin_embedder_image_faces_sum") >= 7
        assert embedder.metric("twin_embedder_vectors_total") >= 7
        assert embedder.metric("twin_embedder_queue_seconds_count") == 5
        assert embedder.metric("twin_embedder_queue_length") == 0
        for stage in ("decode", "detect", "embed"):
            assert embedder.metric("twin_embedder_stage_seconds_count", stage=stage) >= 2
            assert embedder.metric("twin_embedder_batch_size_sum", stage=stage) >= 2
        # Six faces in two batches, and one in one.
        assert embedder.metric("twin_embedder_batch_size_sum", stage="embed") == 7
        assert embedder.metric("twin_embedder_batch_size_count", stage="embed") == 3
        assert embedder.metric("twin_embedder_model_info", execution_provider="CPUExecutionProvider") == 1
        assert embedder.metric("twin_embedder_decoders_lost_total") == 0


def test_flip_averaging_and_attributes_are_switches(models_dir: Path, gauss_photo: Path) -> None:
    with running_embedder(models_dir) as plain:
        without = embed(plain, gauss_photo).faces[0]
    switches = {"TWIN_EMBEDDER_FLIP_AVERAGING": "true", "TWIN_EMBEDDER_ATTRIBUTES": "true"}
    with running_embedder(models_dir, **switches) as embedder:
        face = embed(embedder, gauss_photo).faces[0]
    assert not without.HasField("attributes") and face.HasField("attributes")
    assert 15 < face.attributes.age_years < 80
    assert face.attributes.male_score + face.attributes.female_score == pytest.approx(1, abs=1e-3)
    assert face.embedding.model_id != without.embedding.model_id
    both, one = (decode_vector(vector.embedding.float32_le, 512) for vector in (face, without))
    assert 0.9 < float(np.dot(both, one)) < 0.9999


def test_openvino_serves_the_same_vectors(models_dir: Path, gauss_photo: Path) -> None:
    with (
        running_embedder(models_dir) as plain,
        running_embedder(models_dir, TWIN_EMBEDDER_PROVIDER="openvino") as other,
    ):
        expected, face = (embed(embedder, gauss_photo).faces[0] for embedder in (plain, other))
        assert other.metric("twin_embedder_model_info", execution_provider="OpenVINO") == 1
    assert face.embedding.model_id == expected.embedding.model_id
    both = (decode_vector(vector.embedding.float32_le, 512) for vector in (face, expected))
    assert float(np.dot(*both)) >= 0.9999
