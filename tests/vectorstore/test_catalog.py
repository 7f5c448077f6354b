"""The catalog: what it was told is what it tells, selects, saves and keeps after removals."""

import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.vectorstore.told import as_told, told
from vectorstore.catalog import Catalog
from vectorstore.catalog_face import CatalogFace, to_microseconds
from vectorstore.records import Source

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
COLLECTIONS = ("", "a", "ü", "b")
PERSONS = ("", "Zoë", "Ann", "x" * 300)


def _faces(count: int, seed: int = 1) -> list[CatalogFace]:
    """Photos of one to three faces, added a minute after one another; ids have holes."""
    faces: list[CatalogFace] = []
    dice, face_id, photo = random.Random(seed), 0, 0
    while len(faces) < count:
        photo += 1
        collection, photo_id = dice.choice(COLLECTIONS), uuid.UUID(int=dice.getrandbits(128))
        source = Source(dice.choice(("local", "drive")), "k" * dice.randrange(5) + str(photo))
        for _ in range(dice.choice((1, 1, 2, 3))):
            face_id += dice.choice((1, 1, 5))
            box = None if dice.random() < 0.2 else (1.5, float(face_id), 30.25, 40.0)
            person = dice.choice(PERSONS)
            time_us = to_microseconds(NEW_YEAR + timedelta(minutes=photo, microseconds=photo))
            faces.append(CatalogFace(face_id, photo_id, box, person, collection, source, time_us))
    return faces


def _catalog(faces: list[CatalogFace]) -> Catalog:
    catalog, start = Catalog(), 0
    # Batches that end with a photo's last face.
    for place in range(1, len(faces) + 1):
        if place == len(faces) or (place % 7 == 0 and faces[place].photo_id != faces[place - 1].photo_id):
            catalog.add(faces[start:place])
            start = place
    return catalog


def _reloaded(catalog: Catalog) -> Catalog:
    return Catalog.from_arrays(catalog.to_arrays())


def _compacted(catalog: Catalog) -> Catalog:
    return catalog.compacted()


def test_what_was_added_is_told() -> None:
    faces = _faces(200)
    catalog = _catalog(faces)
    assert told(catalog) == as_told(faces)
    assert len(catalog) == len(faces)
    ids = np.array([face.face_id for face in faces])
    photos, persons = catalog.photo_codes(ids), catalog.person_codes(ids)
    for one, other in ((0, 1), (3, 4), (5, 60), (10, 11)):
        assert (photos[one] == photos[other]) == (faces[one].photo_id == faces[other].photo_id)
        assert (persons[one] == persons[other]) == (faces[one].person == faces[other].person)
    assert [code == 0 for code in persons] == [face.person == "" for face in faces]


@pytest.mark.parametrize("face_id", [-1, 0, 3, 10**12])
def test_a_face_that_is_not_there_is_not_told(face_id: int) -> None:
    catalog = _catalog([face for face in _faces(50) if face.face_id != 3])
    with pytest.raises(KeyError):
        catalog.show_all(np.array([face_id]))
    with pytest.raises(KeyError):
        Catalog().show_all(np.array([face_id]))


@pytest.mark.parametrize("again", [_reloaded, _compacted, lambda catalog: _reloaded(_compacted(catalog))])
@pytest.mark.parametrize("removed_share", [0.0, 0.4, 1.0])
def test_a_saved_or_compacted_catalog_is_an_equal_one(
    again: Callable[[Catalog], Catalog], removed_share: float, rng: np.random.Generator
) -> None:
    faces = _faces(300)
    catalog = _catalog(faces)
    gone = {face.face_id for face in faces if rng.random() < removed_share}
    catalog.remove(np.array(sorted(gone), np.int64))
    left = [face for face in faces if face.face_id not in gone]
    catalog = again(catalog)
    assert told(catalog) == as_told(left)
    more = [face for face in _faces(600, seed=2) if face.face_id > faces[-1].face_id]
    catalog.add(more)
    assert told(catalog) == as_told(left + more)


def test_a_removed_face_leaves_no_trace_in_what_is_saved() -> None:
    def face(face_id: int, word: str) -> CatalogFace:
        return CatalogFace(
            face_id, uuid.UUID(int=face_id), None, f"person {word}", word, Source("local", f"key {word}")
        )

    catalog = Catalog()
    catalog.add([face(1, "kept"), face(2, "secret"), face(3, "kept")])
    catalog.remove(np.array([2]))
    for arrays in (catalog.to_arrays(), catalog.compacted().state().compacted().to_arrays()):
        content = b"".join(array.tobytes() for array in arrays.values())
        assert b"kept" in content
        assert b"secret" not in content
        assert uuid.UUID(int=2).bytes not in content


def test_a_state_stays_as_it_was() -> None:
    faces = _faces(400)
    catalog = _catalog(faces[:100] if faces[100].photo_id != faces[99].photo_id else faces[:101])
    before, state = told(catalog), catalog.state()
    catalog.remove(np.array([face.face_id for face, _ in before[::3]]))
    catalog.add(faces[len(before) :])
    assert told(Catalog.from_arrays(state.to_arrays())) == before


@pytest.mark.parametrize("more", [0, 1, 250])
def test_a_compacted_copy_catches_up_with_what_came_meanwhile(more: int, rng: np.random.Generator) -> None:
    faces = _faces(600)
    count = next(place for place in range(300, 310) if faces[place].photo_id != faces[place - 1].photo_id)
    catalog = _catalog(faces[:count])

    def remove_some() -> None:
        ids = catalog.live_ids()
        catalog.remove(ids[rng.random(len(ids)) < 0.3])

    remove_some()
    state = catalog.state()
    copy = Catalog.of(state.compacted())
    catalog.add(faces[count : count + more])
    remove_some()
    catalog.catch_up(copy, state)
    assert told(copy) == told(catalog)
    assert len(copy) == len(catalog)
    assert len(copy.state().ids) < len(catalog.state().ids)


def test_a_photo_added_again_under_its_id_is_another_one() -> None:
    photo_id = uuid.UUID(int=5)
    catalog = Catalog()
    catalog.add([CatalogFace(1, photo_id, None, "", "", Source("local", "first"))])
    catalog.remove(np.array([1]))
    catalog.add([CatalogFace(2, photo_id, None, "", "", Source("drive", "second"))])
    [shown] = catalog.show_all(np.array([2]))
    assert (shown.store, shown.key) == ("drive", "second")


def test_selection_is_exact(rng: np.random.Generator) -> None:
    faces = _faces(500)
    catalog = _catalog(faces)
    gone = {face.face_id for face in faces if rng.random() < 0.3}
    catalog.remove(np.array(sorted(gone)))
    # A moment that is a photo's own, to the microsecond.
    early, late = NEW_YEAR + timedelta(minutes=50, microseconds=50), NEW_YEAR + timedelta(minutes=200, microseconds=200)
    for collections in (None, (), ("a",), ("ü", "b"), ("", "unknown")):
        for persons in (None, (), ("Zoë",), ("", "Ann", "nobody")):
            for after, before in ((None, None), (early, None), (None, late), (early, late), (late, early)):
                wanted = [
                    face.face_id
                    for face in faces
                    if face.face_id not in gone
                    and (collections is None or face.collection in collections)
                    and (persons is None or face.person in persons)
                    and (after is None or face.create_time_us >= to_microseconds(after))
                    and (before is None or face.create_time_us < to_microseconds(before))
                ]
                found = catalog.select(collections=collections, persons=persons, added_after=after, added_before=before)
                assert found.tolist() == wanted


def test_nothing_can_be_selected_in_an_empty_catalog() -> None:
    assert Catalog().select(collections=["a"], persons=["b"], added_after=NEW_YEAR).tolist() == []
    assert told(_reloaded(Catalog())) == []
    assert told(_compacted(Catalog())) == []


Arrays = dict[str, npt.NDArray[Any]]


def _set(name: str, place: int, value: int) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][place] = value

    return change


def _replace(name: str, replace: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        arrays[name] = replace(arrays[name])

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("photo_of", 3, -1),
        _set("photo_of", 3, 10**6),
        _set("persons", 3, 10**6),
        _set("collections", 3, -7),
        _set("photo_stores", 3, 99),
        _set("ids", 3, 0),
        _set("key_ends", 3, 10**9),
        _set("key_ends", -1, 3),
        _set("text_ends", 2, -1),
        _set("text_bytes", 0, 255),
        _replace("boxes", lambda boxes: boxes[:-1]),
        _replace("boxes", lambda boxes: boxes[:, :3]),
        _replace("photo_uuids", lambda uuids: uuids[:-1]),
        _replace("ids", lambda ids: ids.astype(np.float64)),
        _replace("key_bytes", lambda content: content[:-1]),
        _replace("text_ends", lambda ends: ends[:-1]),
    ],
)
def test_arrays_that_do_not_fit_one_another_are_refused(change: Callable[[Arrays], None]) -> None:
    arrays = dict(_catalog(_faces(60)).to_arrays())
    Catalog.from_arrays(arrays)
    change(arrays)
    with pytest.raises(ValueError):
        Catalog.from_arrays(arrays)


def test_an_array_that_is_missing_is_refused() -> None:
    arrays = dict(_catalog(_faces(60)).to_arrays())
    for name in arrays:
        with pytest.raises(KeyError):
            Catalog.from_arrays({other: array for other, array in arrays.items() if other != name})
