"""The small checks that every service shares."""

import stat
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import InvalidField, StartupError
from runtime.keys import load_or_create_key
from runtime.names import check_gallery_name, parse_photo_id
from runtime.vectors import decode_vector, encode_vector


def test_an_empty_gallery_name_is_the_default() -> None:
    assert check_gallery_name("") == "default"


@pytest.mark.parametrize("name", ["A", "a" * 64, "a b", "a/b", "ä", "a\n", "../x"])
def test_a_bad_gallery_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidField):
        check_gallery_name(name)


@given(st.uuids())
def test_any_uuid_is_a_photo_id_in_either_case(value: uuid.UUID) -> None:
    assert parse_photo_id(str(value)) == value
    assert parse_photo_id(str(value).upper()) == value


@pytest.mark.parametrize(
    "text", ["", "x", "{123e4567-e89b-42d3-a456-426614174000}", "123e4567e89b42d3a456426614174000"]
)
def test_a_malformed_photo_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_photo_id(text)
    assert caught.value.field == "photo_id"


def test_a_vector_survives_the_wire() -> None:
    vector = np.arange(1, 9, dtype=np.float32)
    vector /= np.linalg.norm(vector)
    np.testing.assert_array_equal(decode_vector(encode_vector(vector), 8), vector)


UNIT = [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "values",
    [
        UNIT[:3],
        [*UNIT, 0.0],
        [float("nan"), 0, 0, 0],
        [float("inf"), 0, 0, 0],
        [0.0] * 4,
        [1.001, 0, 0, 0],
        [0.5, 0, 0, 0],
        # Finite, and its square is not.
        [1e38, 0, 0, 0],
    ],
)
def test_a_vector_of_another_size_or_length_or_not_finite_is_refused(values: list[float]) -> None:
    with pytest.raises(InvalidField):
        decode_vector(np.array(values, dtype="<f4").tobytes(), 4)


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "admin.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["admin.key"]


@pytest.mark.parametrize("text", ["", "zz", "abcd"])
def test_a_damaged_key_stops_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "admin.key"
    path.write_text(text)
    with pytest.raises(StartupError, match="move it away"):
        load_or_create_key(path)
