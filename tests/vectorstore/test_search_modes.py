"""What each mode finds, on galleries whose people are known."""

import math
from typing import Any

import numpy as np
import pytest
from twin.face.v1 import face_pb2
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from runtime.vectors import Vector
from tests.vectorstore.wire import DIMENSION, MODEL, add, add_one, at_cosine, ids, photo, random_unit, search, unit
from vectorstore.index.base import Ids, Neighbours, Vectors
from vectorstore.index.cpu import CpuIndex

Rng = np.random.Generator
LOOKALIKE, SAME_PERSON = pb.MATCH_MODE_LOOKALIKE, pb.MATCH_MODE_SAME_PERSON
SAME = 0.6
CALIBRATION = face_pb2.Calibration(
    same_person_similarity=SAME, duplicate_similarity=0.95, percent_slope=10, percent_midpoint=0.3
)


@pytest.fixture
async def stub(store: Any) -> Any:
    await store.stub.CreateGallery(
        pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION, calibration=CALIBRATION)
    )
    return store.stub


def axis(number: int) -> Vector:
    return unit(np.eye(DIMENSION)[number])


def mix(**shares: float) -> Vector:
    """Returns a unit vector with these cosines to axes (a0=0.3), the rest on the last axis."""
    vector = np.zeros(DIMENSION)
    for name, share in shares.items():
        vector[int(name[1:])] = share
    vector[-1] = math.sqrt(1 - (vector**2).sum())
    return unit(vector)


async def test_nearest_returns_faces_as_they_come(stub: Any, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(200)]
    added = await add(stub, *[photo(vector) for vector in vectors])
    probe = random_unit(rng)
    cosines = np.stack(vectors) @ probe
    best = np.argsort(-cosines)
    for limit, expected in ((0, 10), (1, 1), (150, 150), (1000, 200)):
        (result,) = await search(stub, probe, limit=limit)
        assert ids(result.matches) == [added[place].photo_id for place in best[:expected]]
        assert [match.similarity.cosine for match in result.matches] == pytest.approx(
            cosines[best[:expected]], abs=1e-6
        )


async def test_a_match_carries_what_is_known_of_its_photo(stub: Any) -> None:
    added = await add_one(stub, photo(axis(0), axis(1), persons=["", "Ada"], person="Grace", collection="physics"))
    (first, second) = await search(stub, axis(0), axis(1), limit=1)
    for number, (result, person) in enumerate(((first, "Grace"), (second, "Ada"))):
        (match,) = result.matches
        assert (match.photo_id, match.face_id) == (added.photo_id, added.faces[number].face_id)
        assert (match.person, match.collection, match.source) == (person, "physics", added.source)
        assert match.box == added.faces[number].face.box


async def test_a_face_without_a_box_is_shown_without_one(stub: Any) -> None:
    message = photo(axis(0))
    message.faces[0].face.ClearField("box")
    await add_one(stub, message)
    (result,) = await search(stub, axis(0))
    assert not result.matches[0].HasField("box")


async def test_percent_follows_the_gallerys_calibration(stub: Any) -> None:
    await add(stub, *[photo(mix(a0=share)) for share in (1.0, 0.3, 0.0)], photo(-axis(0)))
    (result,) = await search(stub, axis(0))
    percents = [match.similarity.percent for match in result.matches]
    assert percents == pytest.approx([100 / (1 + math.exp(-10 * (c - 0.3))) for c in (1.0, 0.3, 0.0, -1.0)], abs=1e-3)
    assert percents[1] == pytest.approx(50, abs=1e-3)


async def test_cosines_never_leave_minus_one_to_one(stub: Any, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(50)]
    await add(stub, *[photo(vector) for vector in vectors])
    for result in await search(stub, *vectors, limit=1):
        assert 0.9999 < result.matches[0].similarity.cosine <= 1


async def test_percentile_is_exact_in_a_small_gallery(stub: Any, rng: Rng) -> None:
    vectors = [random_unit(rng) for _ in range(100)]
    await add(stub, *[photo(vector) for vector in vectors])
    (result,) = await search(stub, random_unit(rng), limit=100)
    assert [match.similarity.percentile for match in result.matches] == pytest.approx(
        [(99 - rank) / 100 for rank in range(100)], abs=1e-6
    )


async def test_only_named_collections_and_alike_enough_faces_are_returned(stub: Any) -> None:
    a = await add_one(stub, photo(mix(a0=0.5), collection="a"))
    b = await add_one(stub, photo(mix(a0=0.4), collection="b"))
    c = await add_one(stub, photo(mix(a0=0.3), collection="c"))
    for mode in (pb.MATCH_MODE_NEAREST, SAME_PERSON, LOOKALIKE):
        (result,) = await search(stub, axis(0), collections=["nothing"], mode=mode)
        assert not result.matches
    for collections, expected in ((["b"], [b]), (["c", "a"], [a, c]), (["a", "x"], [a])):
        (result,) = await search(stub, axis(0), collections=collections)
        assert ids(result.matches) == [message.photo_id for message in expected]
    (result,) = await search(stub, axis(0), min_similarity=0.35)
    assert ids(result.matches) == [a.photo_id, b.photo_id]


async def test_lookalike_is_the_mode_when_none_is_named(stub: Any) -> None:
    me = await add_one(stub, photo(axis(0)))
    (result,) = await search(stub, axis(0), mode=pb.MATCH_MODE_UNSPECIFIED)
    assert (ids(result.matches), ids(result.yourself)) == ([], [me.photo_id])


async def test_lookalike_gives_one_match_for_each_other_person(stub: Any, rng: Rng) -> None:
    # Person 1 in four photos that are alike, person 2 in two that only a name joins, and the one who asks.
    ones = [await add_one(stub, photo(mix(a0=0.5 - 0.01 * n, a1=0.8))) for n in range(4)]
    twos = [
        await add_one(stub, photo(mix(a0=0.4, a2=0.9), person="Two")),
        await add_one(stub, photo(mix(a0=0.3, a3=0.9), person="Two")),
    ]
    me = [await add_one(stub, photo(mix(a0=share))) for share in (0.9, 0.7)]
    (result,) = await search(stub, axis(0), mode=LOOKALIKE)
    assert ids(result.matches) == [ones[0].photo_id, twos[0].photo_id]
    assert ids(result.matches[0].same_person) == [message.photo_id for message in ones[1:]]
    assert ids(result.matches[1].same_person) == [twos[1].photo_id]
    assert ids(result.yourself) == [message.photo_id for message in me]


async def test_lookalike_searches_on_until_there_are_enough_people(stub: Any, rng: Rng) -> None:
    """The nearest 300 faces are one person's; the others only come behind them."""
    crowd = [photo(mix(a0=0.5 + 0.0001 * n, a1=0.8), collection="crowd") for n in range(300)]
    others = [photo(mix(**{"a0": 0.4 - 0.01 * n, f"a{n + 2}": 0.9})) for n in range(12)]
    await add(stub, *crowd, *others)
    (result,) = await search(stub, axis(0), limit=10, mode=LOOKALIKE)
    assert [match.collection for match in result.matches] == ["crowd"] + [""] * 9
    assert ids(result.matches[1:]) == [message.photo_id for message in others[:9]]
    assert len(result.matches[0].same_person) == 10
    (everyone,) = await search(stub, axis(0), limit=1000, mode=LOOKALIKE)
    assert len(everyone.matches) == 13


async def test_names_outweigh_resemblance(stub: Any) -> None:
    first = await add_one(stub, photo(mix(a0=0.5, a1=0.8), person="Niels"))
    second = await add_one(stub, photo(mix(a0=0.49, a1=0.8), person="Harald"))
    (result,) = await search(stub, axis(0), mode=LOOKALIKE)
    assert ids(result.matches) == [first.photo_id, second.photo_id]


async def test_photos_of_the_person_asking_are_kept_apart_by_name_too(stub: Any) -> None:
    near = await add_one(stub, photo(mix(a0=0.9), person="Me"))
    far = await add_one(stub, photo(mix(a0=0.2, a1=0.8), person="Me"))
    other = await add_one(stub, photo(mix(a0=0.1, a2=0.8), person="You"))
    (result,) = await search(stub, axis(0), mode=LOOKALIKE)
    assert ids(result.yourself) == [near.photo_id, far.photo_id]
    assert ids(result.matches) == [other.photo_id]


async def test_a_stored_face_does_not_find_itself(stub: Any) -> None:
    me = await add_one(stub, photo(axis(0)))
    near = await add_one(stub, photo(mix(a0=0.7)))
    other = await add_one(stub, photo(mix(a0=0.3, a1=0.9)))
    face_id = me.faces[0].face_id
    (nearest,) = await search(stub, face_id)
    assert ids(nearest.matches) == [near.photo_id, other.photo_id]
    (same,) = await search(stub, face_id, mode=SAME_PERSON)
    assert ids(same.matches) == [near.photo_id]
    (alike,) = await search(stub, face_id, mode=LOOKALIKE)
    assert (ids(alike.matches), ids(alike.yourself)) == ([other.photo_id], [near.photo_id])


async def test_a_named_face_knows_its_own_photos_however_unlike(stub: Any) -> None:
    me = await add_one(stub, photo(axis(0), person="Me"))
    unlike = await add_one(stub, photo(mix(a0=0.1, a1=0.9), person="Me"))
    double = await add_one(stub, photo(mix(a0=0.8), person="Double"))
    face_id = me.faces[0].face_id
    (alike,) = await search(stub, face_id, mode=LOOKALIKE)
    assert (ids(alike.matches), ids(alike.yourself)) == ([double.photo_id], [unlike.photo_id])
    (same,) = await search(stub, face_id, mode=SAME_PERSON)
    assert unlike.photo_id in ids(same.matches)


async def test_the_others_of_a_group_photo_are_lookalikes_of_a_face_in_it(stub: Any) -> None:
    group = await add_one(stub, photo(axis(0), mix(a0=0.4, a1=0.9), mix(a0=0.7)))
    face_id = group.faces[0].face_id
    (result,) = await search(stub, face_id, mode=LOOKALIKE)
    assert [match.face_id for match in result.matches] == [group.faces[1].face_id]
    assert not result.yourself


async def test_same_person_returns_those_over_the_threshold(stub: Any, rng: Rng) -> None:
    me = random_unit(rng)
    over = [await add_one(stub, photo(at_cosine(rng, me, cosine))) for cosine in (0.95, 0.8, SAME + 0.01)]
    await add_one(stub, photo(at_cosine(rng, me, SAME - 0.01)))
    (result,) = await search(stub, me, mode=SAME_PERSON)
    assert ids(result.matches) == [message.photo_id for message in over]


async def test_an_empty_gallery_answers_with_nothing(stub: Any) -> None:
    for mode in (pb.MATCH_MODE_NEAREST, SAME_PERSON, LOOKALIKE):
        (result,) = await search(stub, axis(0), mode=mode)
        assert not result.matches
        assert not result.yourself


async def test_same_person_leaves_out_who_is_known_by_another_name(stub: Any) -> None:
    """However many of them are nearer than the one that is wanted."""
    me = await add_one(stub, photo(axis(0), person="Niels"))
    await add(stub, *[photo(mix(a0=0.9 - 0.001 * n), person="Harald") for n in range(20)])
    unnamed = await add_one(stub, photo(mix(a0=0.7)))
    (result,) = await search(stub, me.faces[0].face_id, mode=SAME_PERSON, limit=3)
    assert ids(result.matches) == [unnamed.photo_id]


async def test_same_person_leaves_out_the_others_of_the_same_photo(stub: Any) -> None:
    group = await add_one(stub, photo(axis(0), mix(a0=0.7)))
    elsewhere = await add_one(stub, photo(mix(a0=0.8)))
    (result,) = await search(stub, group.faces[0].face_id, mode=SAME_PERSON)
    assert ids(result.matches) == [elsewhere.photo_id]


async def test_no_face_is_lost_or_shown_twice_where_one_scan_ends_and_the_next_goes_on(
    stub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equally alike faces come in another order from the second scan, as two ways of rounding would have it."""
    crowd = [photo(mix(a0=0.5, a1=0.8)) for _ in range(12)]
    await add(stub, *crowd)
    search_flat, scans = CpuIndex.search, 0

    def unsteady(
        self: CpuIndex, vectors: Vectors, k: int, allowed: Ids | None = None, *, exact: bool = False
    ) -> list[Neighbours]:
        nonlocal scans
        scans += 1
        step = 1 if scans == 1 else -1
        ((found, cosines),) = search_flat(self, vectors, 1000, allowed)
        return [(np.sort(found)[::step][:k], cosines[:k])]

    monkeypatch.setattr(CpuIndex, "search", unsteady)
    monkeypatch.setattr("vectorstore.orders._FIRST_FETCH_FACTOR", 1)
    monkeypatch.setattr("vectorstore.orders._FIRST_FETCH_EXTRA", 3)
    (result,) = await search(stub, axis(0), limit=2, mode=LOOKALIKE)
    (match,) = result.matches
    shown = [match.face_id, *[other.face_id for other in match.same_person]]
    assert len(set(shown)) == len(shown) == 11
    assert scans > 1
