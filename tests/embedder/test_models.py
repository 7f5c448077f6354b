"""Packs: what is pulled, checked, rewritten, loaded and refused."""

import dataclasses
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import helper

from embedder.engine import load_model
from embedder.faces import FaceChoice, Selection
from embedder.models import PackState, list_packs, pull, verify
from embedder.models.definition import starter_definition
from embedder.models.digest import model_id_of
from embedder.models.load import load_pack
from embedder.models.manifest import MANIFEST_NAME, manifest_text, read_manifest
from embedder.sessions import CPU, OnnxNetwork
from embedder.settings import EmbedderSettings
from runtime.errors import StartupError


@pytest.fixture
def own_models(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of the starter pack that a test may damage."""
    shutil.copytree(models_dir / "starter", tmp_path / "starter")
    return tmp_path


def no_work(message: str) -> None:
    raise AssertionError(f"nothing was to be done, and yet: {message}")


def test_intact_pack_is_not_pulled_again(models_dir: Path) -> None:
    summary = pull("starter", models_dir, accept_license=False, progress=no_work)
    assert summary.state is PackState.READY
    assert summary.model_id.startswith("starter-") and len(summary.model_id) == len("starter-") + 16
    assert all(check.ok for check in verify("starter", models_dir))


def test_pack_holds_the_demo_photos(models_dir: Path) -> None:
    names = {Path(check.file).name for check in verify("starter", models_dir)}
    assert {"solvay_conference_1927.jpg", "newton.png", "gauss.png", "scrfd.onnx", "fr_feature.onnx"} <= names


@pytest.mark.parametrize("file", ["detector.onnx", "recognizer.onnx"])
def test_one_flipped_byte_stops_the_start_with_what_to_do(own_models: Path, file: str) -> None:
    path = own_models / "starter" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(StartupError, match="twin models pull starter") as caught:
        load_pack(own_models, "starter")
    assert file in str(caught.value) and "\n" not in str(caught.value)
    assert [check.file for check in verify("starter", own_models) if not check.ok] == [file]
    assert list_packs(own_models)[0].state is PackState.DAMAGED


@pytest.mark.parametrize("file", ["detector.onnx", "recognizer.onnx", MANIFEST_NAME])
def test_missing_file_stops_the_start_with_what_to_do(own_models: Path, file: str) -> None:
    (own_models / "starter" / file).unlink()
    with pytest.raises(StartupError, match="twin models pull starter"):
        load_pack(own_models, "starter")


@pytest.mark.parametrize("text", ["", "not toml [", 'name = "starter"', "\x00"])
def test_damaged_manifest_stops_the_start_with_what_to_do(own_models: Path, text: str) -> None:
    (own_models / "starter" / MANIFEST_NAME).write_text(text)
    with pytest.raises(StartupError, match="twin models pull starter"):
        load_pack(own_models, "starter")


def test_manifest_of_other_originals_is_refused(own_models: Path) -> None:
    path = own_models / "starter" / MANIFEST_NAME
    manifest = read_manifest(path, "starter")
    swapped = dataclasses.replace(manifest, recognizer=dataclasses.replace(manifest.recognizer, channel_order="RGB"))
    path.write_text(manifest_text(swapped))
    with pytest.raises(StartupError, match="another version"):
        load_pack(own_models, "starter")


def test_manifest_cannot_name_files_elsewhere(own_models: Path) -> None:
    path = own_models / "starter" / MANIFEST_NAME
    path.write_text(path.read_text().replace('"detector.onnx"', '"../../secret.onnx"'))
    with pytest.raises(StartupError, match="damaged"):
        load_pack(own_models, "starter")


def test_manifest_survives_being_written(models_dir: Path, tmp_path: Path) -> None:
    manifest = read_manifest(models_dir / "starter" / MANIFEST_NAME, "starter")
    assert starter_definition().accepts(manifest)
    odd = dataclasses.replace(manifest, license='quoted "text" with \\ and é\n')
    (tmp_path / MANIFEST_NAME).write_text(manifest_text(odd), encoding="utf-8")
    assert read_manifest(tmp_path / MANIFEST_NAME, "starter") == odd


def test_model_id_follows_everything_that_changes_vectors(models_dir: Path) -> None:
    manifest = read_manifest(models_dir / "starter" / MANIFEST_NAME, "starter")
    rgb = dataclasses.replace(manifest, recognizer=dataclasses.replace(manifest.recognizer, channel_order="RGB"))
    other = dataclasses.replace(manifest, detector=dataclasses.replace(manifest.detector, source_sha256="0" * 64))
    rewritten = dataclasses.replace(manifest, detector=dataclasses.replace(manifest.detector, sha256="0" * 64))
    ids = {model_id_of(each) for each in (manifest, rgb, other)}
    assert len(ids) == 3
    assert model_id_of(rewritten) == model_id_of(manifest)


@pytest.mark.parametrize("pack", ["absent", "../starter", "", ".hidden"])
def test_unknown_pack_is_one_clear_line(models_dir: Path, pack: str) -> None:
    with pytest.raises(StartupError, match="twin models"):
        load_pack(models_dir, pack)
    with pytest.raises(StartupError, match="twin models list"):
        pull(pack, models_dir, accept_license=True, progress=no_work)


def test_pack_in_insightface_layout_loads_as_it_is(layout_dir: Path, astronaut_photo: Path) -> None:
    own = load_model(EmbedderSettings(models_dir=layout_dir, model_pack="own"))
    spec = own.pack.recognizer_spec
    assert (spec.normalization.mean, spec.normalization.scale, spec.normalization.channel_order) == (
        127.5,
        127.5,
        "RGB",
    )
    assert own.pack.detector_spec.fixed_size == (640, 640) and spec.fixed_batch
    analyzed = own.pipeline.run(astronaut_photo.read_bytes(), Selection(FaceChoice.ALL), lambda: None)
    assert len(analyzed.faces) == 1 and analyzed.faces[0].vector is not None
    assert own.pack.model_id.startswith("own-")


def test_folder_without_a_recognizer_is_refused(layout_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    shutil.copy(layout_dir / "own" / "scrfd.onnx", tmp_path / "half")
    with pytest.raises(StartupError, match="no face recognizer"):
        load_pack(tmp_path, "half")
    (tmp_path / "half" / "aaa.onnx").write_bytes(b"this is no graph")
    with pytest.raises(StartupError, match="no ONNX graph"):
        load_pack(tmp_path, "half")


def test_external_data_is_refused(layout_dir: Path, tmp_path: Path) -> None:
    model = onnx.load_model(str(layout_dir / "own" / "fr_feature.onnx"))
    (tmp_path / "own").mkdir()
    onnx.save_model(
        model, str(tmp_path / "own" / "r.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    with pytest.raises(StartupError, match="other files"):
        load_pack(tmp_path, "own")


def test_external_data_inside_a_node_is_refused() -> None:
    tensor = onnx.TensorProto(data_type=onnx.TensorProto.FLOAT, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    node = helper.make_node("Constant", [], ["y"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=tensor)
    graph = helper.make_graph([node], "g", [], [helper.make_tensor_value_info("y", 1, [1])])
    with pytest.raises(StartupError, match="other files"):
        OnnxNetwork(helper.make_model(graph).SerializeToString(), CPU, what="graph")


def test_missing_provider_stops_the_start(models_dir: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(StartupError, match="embedder-gpu"):
        load_model(EmbedderSettings(models_dir=models_dir, embedder_provider="cuda"))
