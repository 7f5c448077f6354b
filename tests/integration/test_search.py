"""The main job on real photos: who among the physicists of 1927 looks most like the person in a photo."""

import urllib.request
from pathlib import Path

import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as gw
from twin.gateway.v1 import gateway_pb2_grpc as gw_grpc
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from cli.demo_gallery import PEOPLE
from tests.support import photos
from tests.support.stack import Stack

TIMEOUT_S = 60.0
NAMES = {name for name, _, _ in PEOPLE}


def search(channel: grpc.Channel, image: bytes, **fields: object) -> gw.SearchResponse:
    stub = gw_grpc.TwinServiceStub(channel)
    return stub.Search(gw.SearchRequest(image=image, **fields), timeout=TIMEOUT_S)  # type: ignore[arg-type]


def persons(twins: object) -> list[str]:
    return [twin.match.person for twin in twins]  # type: ignore[attr-defined]


def test_the_best_twins_are_physicists_each_once_and_in_order(
    gateway_channel: grpc.Channel, newton_photo: Path
) -> None:
    answer = search(gateway_channel, newton_photo.read_bytes(), limit=10)
    (result,) = answer.results
    names = persons(result.twins)
    assert len(names) == 10 and set(names) <= NAMES
    assert len(set(names)) == 10
    cosines = [twin.match.similarity.cosine for twin in result.twins]
    assert cosines == sorted(cosines, reverse=True)
    percents = [twin.match.similarity.percent for twin in result.twins]
    assert percents == sorted(percents, reverse=True)
    assert all(0 <= percent <= 100 for percent in percents)
    percentiles = [twin.match.similarity.percentile for twin in result.twins]
    assert percentiles == sorted(percentiles, reverse=True)
    assert percentiles[0] == pytest.approx(28 / 29, abs=0.02)


def test_every_physicist_finds_himself_under_yourself_and_never_among_the_twins(
    gateway_channel: grpc.Channel, solvay_photo: Path
) -> None:
    answer = search(gateway_channel, solvay_photo.read_bytes(), all_faces=True, limit=5)
    assert len(answer.results) == len(PEOPLE)
    selves = [persons(result.yourself) for result in answer.results]
    assert all(len(names) >= 1 for names in selves)
    assert {names[0] for names in selves} == NAMES
    for result, names in zip(answer.results, selves, strict=True):
        assert names[0] not in persons(result.twins)


@pytest.mark.parametrize(("mode", "expects_self"), [(vs.MATCH_MODE_NEAREST, True), (vs.MATCH_MODE_SAME_PERSON, True)])
def test_the_other_modes_return_the_face_itself_first(
    gateway_channel: grpc.Channel, solvay_photo: Path, mode: vs.MatchMode, expects_self: bool
) -> None:
    answer = search(gateway_channel, solvay_photo.read_bytes(), mode=mode, limit=3)
    (result,) = answer.results
    assert (result.twins[0].match.similarity.cosine > 0.999) is expects_self
    assert not result.yourself


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phones_photo_finds_the_same_twins_in_every_orientation(
    gateway_channel: grpc.Channel, newton_photo: Path, orientation: int
) -> None:
    upright = search(gateway_channel, photos.phone_jpeg(newton_photo, orientation=1), limit=3)
    turned = search(gateway_channel, photos.phone_jpeg(newton_photo, orientation=orientation), limit=3)
    assert (turned.image_width, turned.image_height) == (3024, 4032)
    assert persons(turned.results[0].twins)[0] == persons(upright.results[0].twins)[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_every_kind_of_file_finds_the_same_best_twin(
    gateway_channel: grpc.Channel, gauss_photo: Path, form: str
) -> None:
    original = search(gateway_channel, gauss_photo.read_bytes(), limit=1)
    other = search(gateway_channel, photos.converted(gauss_photo, form), limit=1)
    assert persons(other.results[0].twins) == persons(original.results[0].twins)


def test_a_chosen_face_is_the_one_searched(gateway_channel: grpc.Channel, six_faces_photo: Path) -> None:
    image = six_faces_photo.read_bytes()
    whole = search(gateway_channel, image, all_faces=True, limit=1)
    assert len(whole.results) == 6
    for index in range(6):
        one = search(gateway_channel, image, face_index=index, limit=1)
        assert [result.face_index for result in one.results] == [index]
        chosen, among_all = one.results[0].twins[0].match, whole.results[index].twins[0].match
        assert chosen.face_id == among_all.face_id
        assert chosen.similarity.cosine == pytest.approx(among_all.similarity.cosine, abs=1e-4)


def test_every_picture_of_a_result_loads(
    gateway_channel: grpc.Channel, stack: Stack, newton_photo: Path, twin_page_url: str
) -> None:
    answer = search(gateway_channel, newton_photo.read_bytes(), limit=3)
    for twin in answer.results[0].twins:
        for path in (twin.image_url, twin.thumbnail_url, twin.face_url):
            with urllib.request.urlopen(twin_page_url + path, timeout=20) as response:
                assert response.headers["Content-Type"] == "image/jpeg"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.read(2) == b"\xff\xd8"


def test_two_photos_of_one_person_compare_as_one_and_of_two_as_two(
    gateway_channel: grpc.Channel, newton_photo: Path, gauss_photo: Path
) -> None:
    stub = gw_grpc.TwinServiceStub(gateway_channel)
    newton = newton_photo.read_bytes()
    same = stub.Compare(
        gw.CompareRequest(first_image=newton, second_image=photos.converted(newton_photo, "JPEG")), timeout=TIMEOUT_S
    )
    other = stub.Compare(
        gw.CompareRequest(first_image=newton, second_image=gauss_photo.read_bytes()), timeout=TIMEOUT_S
    )
    assert same.same_person and same.similarity.cosine > 0.95 and same.similarity.percent > 90
    assert not other.same_person and other.similarity.percent < same.similarity.percent
