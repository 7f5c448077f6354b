"""Faces read as columns are what protobuf's own objects say of them."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.errors import TwinError
from tests.vectorstore.wire import DIMENSION, MODEL, random_unit
from vectorstore.face_table import FacesOfTable, FaceTable
from vectorstore.face_wire import _VALUES, _Layout, read_faces
from vectorstore.incoming import _face_from_wire, photos_from_wire
from vectorstore.records import CAUTIOUS_CALIBRATION, FaceRecord, GalleryRecord

Rng = np.random.Generator
GALLERY = GalleryRecord(1, "default", MODEL, DIMENSION, CAUTIOUS_CALIBRATION, datetime.now(UTC))


def _number(rng: Rng) -> float:
    """Returns any number; often 0, which the wire leaves out."""
    return float(rng.choice([0.0, rng.normal(), 1e30, -0.0]))


def _face(rng: Rng) -> pb.StoredFace:
    face = face_pb2.Face(
        index=int(rng.choice([0, 1, 5, 127, 128, 40_000, -1])),
        detection_score=_number(rng),
        primary=bool(rng.integers(2)),
        embedding=face_pb2.Embedding(float32_le=random_unit(rng).astype("<f4").tobytes(), model_id=MODEL),
    )
    if rng.random() < 0.8:
        face.box.SetInParent()
        face.box.left, face.box.top, face.box.width, face.box.height = (_number(rng) for _ in range(4))
    if rng.random() < 0.8:
        face.landmarks.SetInParent()
        for name in ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"):
            if rng.random() < 0.8:
                getattr(face.landmarks, name).x = _number(rng)
                getattr(face.landmarks, name).y = _number(rng)
    if rng.random() < 0.8:
        face.quality.SetInParent()
        face.quality.score, face.quality.roll_degrees = _number(rng), _number(rng)
        # Unknown ones too, and more than are kept.
        face.quality.issues.extend(rng.choice([0, 1, 3, 6, 900, 70_000, -1], rng.choice([0, 1, 2, 40])).tolist())
    if rng.random() < 0.3:
        face.attributes.age_years = 30
    return pb.StoredFace(face=face, person=str(rng.choice(["", "Ada", "Zoë"])))


def _spoil(face: pb.StoredFace, rng: Rng) -> None:
    spoilt = face.face
    match int(rng.integers(9)):
        case 0:
            spoilt.box.width = float("nan")
        case 1:
            spoilt.landmarks.nose.y = float("inf")
        case 2:
            spoilt.embedding.model_id = MODEL[::-1]
        case 3:
            spoilt.embedding.float32_le = spoilt.embedding.float32_le[4:]
        case 4:
            spoilt.embedding.float32_le = bytes(4 * DIMENSION)
        case 5:
            spoilt.ClearField("embedding")
        case 6:
            face.person = "x" * 1025
        case 7:
            face.person = "\x00"
        case _:
            spoilt.detection_score = float("nan")


def _same(one: FaceRecord, other: FaceRecord) -> bool:
    assert one.embedding is not None
    assert other.embedding is not None
    same_numbers = np.array_equal(one.embedding, other.embedding)
    return same_numbers and one._replace(embedding=None) == other._replace(embedding=None)


def _by_itself(face: pb.StoredFace) -> FaceRecord | None:
    try:
        return _face_from_wire(face, GALLERY, 0)
    except TwinError:
        return None


@pytest.mark.parametrize("seed", range(20))
def test_columns_hold_what_each_face_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    faces = [_face(rng) for _ in range(6)]
    # Of few layouts, each several times, with other values.
    faces = [pb.StoredFace.FromString(faces[place].SerializeToString()) for place in rng.integers(6, size=60)]
    for face in faces:
        if face.face.box.left:
            face.face.box.left = float(np.float32(rng.normal()))
        face.face.embedding.float32_le = random_unit(rng).astype("<f4").tobytes()
        if rng.random() < 0.1:
            _spoil(face, rng)
    table, right = read_faces(faces, GALLERY)
    assert table is not None
    alone = [_by_itself(face) for face in faces]
    for place, record in enumerate(alone):
        assert not right[place] or (record is not None and _same(table.record(place), record))
    # Numbers below 0 are left to be read one by one, and so is what is wrong.
    assert all(
        right[place]
        for place, record in enumerate(alone)
        if record is not None and record.face_index >= 0 and faces[place].face.embedding.ByteSize()
    )


def test_every_field_of_a_face_is_read_or_left_out_on_purpose() -> None:
    def leaves(descriptor: Any, parent: str = "") -> set[str]:
        found: set[str] = set()
        for field in descriptor.fields:
            name = parent + field.name
            found |= leaves(field.message_type, f"{name}.") if field.message_type is not None else {name}
        return found

    apart = {"index", "primary", "embedding.float32_le", "embedding.model_id", "quality.issues"}
    not_kept = {name for name in leaves(face_pb2.Face.DESCRIPTOR) if name.startswith("attributes.")}
    assert leaves(face_pb2.Face.DESCRIPTOR) == {*_VALUES, *apart, *not_kept}


def test_what_is_not_known_is_read_one_by_one() -> None:
    rng = np.random.default_rng(1)
    faces = [_face(rng) for _ in range(2)]
    # Field 100, a number.
    known = faces[0].face.SerializeToString()
    faces[0].face.ParseFromString(known + b"\xa0\x06\x01")
    _, right = read_faces(faces[:1], GALLERY)
    assert right == [False]


def test_an_index_of_two_bytes_is_not_taken_for_one_of_one() -> None:
    short = b"\x08\x05\x12\x00"
    layout = _Layout.of(short)
    rows = np.frombuffer(short + b"\x08\x07\x12\x00" + b"\x08\x85\x12\x00", np.uint8).reshape(3, -1)
    assert layout.is_of(rows).tolist() == [True, True, False]


def test_a_message_of_more_layouts_than_are_looked_for_is_read_all_the_same() -> None:
    rng = np.random.default_rng(2)
    faces = [_face(rng) for _ in range(64)]
    for number, face in enumerate(faces):
        face.face.index = 200 + number
    photo = pb.Photo(faces=faces)
    photo.source.key = "a.jpg"
    photo.sha256 = bytes(32)
    (read,) = photos_from_wire([photo], GALLERY)
    assert not isinstance(read, Exception)
    assert [face.face_index for face in read.faces] == [200 + number for number in range(64)]


def test_a_table_of_photos_has_their_faces_in_order_wherever_these_came_from() -> None:
    rng = np.random.default_rng(3)
    wire = [_face(rng) for _ in range(40)]
    for face in wire:
        face.face.index = 1
    tables: list[Any] = [read_faces(wire[:20], GALLERY)[0], read_faces(wire[20:], GALLERY)[0]]
    single = (_face_from_wire(wire[5], GALLERY, 0),)
    first, second = tables
    photos: list[Any] = [
        FacesOfTable(first, 0, 3),
        FacesOfTable(first, 3, 4),
        single,
        FacesOfTable(first, 4, 5),
        FacesOfTable(second, 2, 9),
        single,
        single,
        FacesOfTable(first, 7, 8),
        FacesOfTable(first, 10, 11),
    ]
    table = FaceTable.of(photos, DIMENSION)
    expected = [face for faces in photos for face in faces]
    assert len(table) == len(expected)
    assert all(_same(table.record(place), face) for place, face in enumerate(expected))
    for field in dataclasses.fields(table):
        assert len(getattr(table, field.name)) == len(expected)


def test_a_table_never_takes_much_more_than_its_message() -> None:
    # Two bytes each: as a table they would be a thousand times as large.
    faces = [pb.StoredFace(face=face_pb2.Face()) for _ in range(1000)]
    assert read_faces(faces, GALLERY) == (None, [])
    photo = pb.Photo(sha256=bytes(32), faces=faces)
    photo.source.key = "a.jpg"
    (read,) = photos_from_wire([photo], GALLERY)
    assert isinstance(read, TwinError)


def test_a_photo_of_too_many_faces_is_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectorstore.incoming.read_faces", lambda *_: pytest.fail("read"))
    photo = pb.Photo(sha256=bytes(32), faces=[_face(np.random.default_rng(4))] * 1001)
    photo.source.key = "a.jpg"
    (read,) = photos_from_wire([photo], GALLERY)
    assert isinstance(read, TwinError)
