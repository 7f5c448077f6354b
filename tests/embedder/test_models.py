"""Packs: what is pulled, checked, rewritten, loaded and refused."""

import dataclasses
import io
import shutil
import sys
import tarfile
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from embedder.align import align
from embedder.engine import Model, load_model
from embedder.faces import FaceChoice, Selection
from embedder.models import LicenseNotAccepted, PackState, list_packs, make, pull, verify
from embedder.models.archives import Archive, Member, Progress, extract_members, fetch_archive
from embedder.models.definition import starter_definition
from embedder.models.digest import model_id_of, sha256_of
from embedder.models.load import load_pack
from embedder.models.make import pack_lock, replacing
from embedder.models.manifest import MANIFEST_NAME, manifest_text, read_manifest
from embedder.models.prove import detector_difference, recognizer_cosine, square_batch
from embedder.models.rewrite import rewrite_detector, rewrite_recognizer
from embedder.networks import Normalization, to_batch
from embedder.sessions import CPU, CUDA, OnnxNetwork
from embedder.settings import EmbedderSettings
from runtime.errors import StartupError
from tests.embedder.conftest import read_pixels


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


def test_insightface_pack_needs_its_licence_accepted(tmp_path: Path) -> None:
    with pytest.raises(LicenseNotAccepted) as caught:
        pull("buffalo_l", tmp_path, accept_license=False, progress=no_work)
    assert "non-commercial" in caught.value.license_text
    assert not (tmp_path / "buffalo_l").exists()


def test_insightface_pack_is_pulled_by_its_own_downloader_and_recorded(
    layout_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from insightface.utils import storage

    def download(sub_dir: str, name: str, root: str) -> str:
        # As the real one leaves it for antelopev2: the archive holds a folder of its own.
        folder = Path(root) / sub_dir / name / name
        shutil.copytree(layout_dir / "own", folder)
        return str(folder.parent)

    monkeypatch.setattr(storage, "download", download)
    summary = pull("antelopev2", tmp_path, accept_license=True, progress=lambda _: None)
    assert summary.state is PackState.READY and "non-commercial" in summary.license
    assert "accepted" in (tmp_path / "antelopev2" / "license-accepted.txt").read_text()
    assert load_pack(tmp_path, "antelopev2").manifest.recognizer.channel_order == "RGB"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".antelopev2.lock", "antelopev2"]


def test_failed_pull_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from insightface.utils import storage

    def download(sub_dir: str, name: str, root: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(storage, "download", download)
    with pytest.raises(StartupError, match="could not fetch buffalo_s"):
        pull("buffalo_s", tmp_path, accept_license=True, progress=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == [".buffalo_s.lock"]


def test_two_pulls_take_turns(tmp_path: Path) -> None:
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with pack_lock(tmp_path, "p", lambda _: waiting.set()):
            order.append("second")

    with pack_lock(tmp_path, "p", no_work):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_failed_replacement_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "old").touch()
    (tmp_path / ".pack.new-left-by-a-crash").mkdir()
    with pytest.raises(RuntimeError), replacing(folder) as fresh:
        (fresh / "half").touch()
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["pack", "old"]
    with replacing(folder) as fresh:
        (fresh / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["pack", "new"]


def test_archive_members_are_taken_only_when_they_are_what_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in (("package/good", b"good"), ("package/../../evil", b"evil")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    good = Member("package/good", "source/good", 4, sha256_of(b"good"))
    folder = tmp_path / "out"
    extract_members(archive, (good,), folder)
    assert [path.name for path in folder.rglob("*")] == ["source", "good"]
    wrong = (
        dataclasses.replace(good, size_bytes=5),
        dataclasses.replace(good, sha256="0" * 64),
        dataclasses.replace(good, path="package/absent"),
        dataclasses.replace(good, path="package/link"),
    )
    for member in wrong:
        with pytest.raises(StartupError):
            extract_members(archive, (member,), tmp_path / "nothing")
    archive.write_bytes(archive.read_bytes()[:40])
    with pytest.raises(StartupError):
        extract_members(archive, (good,), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_pack_is_made_from_its_archives(models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch_archive(archive: Archive, folder: Path, progress: Progress) -> Path:
        asked.append(f"{archive.client} {archive.package} {archive.version}")
        file = folder / "archive.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            for member in archive.members:
                tar.add(models_dir / "starter" / member.place, member.path)
        return file

    monkeypatch.setattr(make, "fetch_archive", fetch_archive)
    summary = pull("starter", tmp_path, accept_license=False, progress=lambda _: None)
    assert asked == ["pip scrfd 0.3.0", "npm faceplugin-face-recognition-js 0.0.1"]
    assert summary.state is PackState.READY
    assert sorted(path.name for path in tmp_path.iterdir()) == [".starter.lock", "starter"]
    # A repair takes what is intact from the damaged pack.
    (tmp_path / "starter" / "recognizer.onnx").write_bytes(b"damaged")
    assert pull("starter", tmp_path, accept_license=False, progress=lambda _: None) == summary
    assert len(asked) == 2
    (tmp_path / "starter" / "source" / "scrfd.onnx").write_bytes(b"damaged")
    assert pull("starter", tmp_path, accept_license=False, progress=lambda _: None) == summary
    assert asked[2:] == ["pip scrfd 0.3.0"]


@pytest.mark.parametrize("client", ["pip", "npm"])
def test_registry_client_that_fails_is_quoted_in_one_line(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "client"
    failing.write_text("#!/bin/sh\necho 'some context' >&2\necho 'no such package' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    monkeypatch.setattr(shutil, "which", lambda _: str(failing))
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartupError, match="could not fetch thing: no such package"):
        fetch_archive(Archive(client, "thing", "1.0", ()), tmp_path / "empty", lambda _: None)


def test_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StartupError, match=r"npm is needed.*Node\.js"):
        fetch_archive(Archive("npm", "thing", "1.0", ()), tmp_path, lambda _: None)


def test_rewritten_detector_computes_what_the_original_does(models_dir: Path, six_faces_photo: Path) -> None:
    source = (models_dir / "starter" / "source" / "scrfd.onnx").read_bytes()
    rewritten = rewrite_detector(source)
    original_network, network = OnnxNetwork(source, CPU, what="o"), OnnxNetwork(rewritten, CPU, what="r")
    assert detector_difference(original_network, network, square_batch(read_pixels(six_faces_photo))) <= 1e-5
    other_size = np.zeros((2, 3, 96, 352), np.float32)
    assert [output.shape[:2] for output in network.run(other_size)[:3]] == [(2, 1056), (2, 264), (2, 66)]


def test_rewritten_recognizer_computes_what_the_original_does(
    models_dir: Path, model: Model, solvay_photo: Path
) -> None:
    source = (models_dir / "starter" / "source" / "fr_feature.onnx").read_bytes()
    rewritten = rewrite_recognizer(source)
    operators = {node.op_type for node in onnx.load_model_from_string(rewritten).graph.node}
    assert "PRelu" not in operators
    image = read_pixels(solvay_photo)
    faces = model.pipeline.run(solvay_photo.read_bytes(), Selection(FaceChoice.DETECT_ONLY), lambda: None).faces
    crops = [align(image, face.landmarks) for face in faces[:5]]
    batch = to_batch(crops, Normalization(127.5, 127.5, "BGR"))
    cosine = recognizer_cosine(OnnxNetwork(source, CPU, what="o"), OnnxNetwork(rewritten, CPU, what="r"), batch)
    assert cosine >= 0.99999


def test_proof_notices_another_function(models_dir: Path, six_faces_photo: Path) -> None:
    source = (models_dir / "starter" / "source" / "scrfd.onnx").read_bytes()
    changed = onnx.load_model_from_string(rewrite_detector(source))
    weights = onnx.numpy_helper.to_array(changed.graph.initializer[0]) * np.float32(1.001)
    changed.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, changed.graph.initializer[0].name))
    networks = OnnxNetwork(source, CPU, what="o"), OnnxNetwork(changed.SerializeToString(), CPU, what="c")
    assert detector_difference(*networks, square_batch(read_pixels(six_faces_photo))) > 1e-5


def test_rewriting_refuses_a_graph_that_it_was_not_made_for(models_dir: Path) -> None:
    sources = models_dir / "starter" / "source"
    with pytest.raises(ValueError, match="not the detector"):
        rewrite_detector((sources / "fr_feature.onnx").read_bytes())


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

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(StartupError, match="embedder-gpu"):
        load_model(EmbedderSettings(models_dir=models_dir, embedder_provider="cuda"))
