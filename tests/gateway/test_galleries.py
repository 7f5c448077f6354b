"""Which galleries callers are told of."""

from pathlib import Path

import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from gateway import galleries
from gateway.settings import GatewaySettings
from runtime.errors import StartupError
from runtime.settings import load_settings
from tests.gateway.harness import ADMIN, Gateway, running_gateway
from tests.gateway.pictures import picture

LIST = pb.ListGalleriesRequest()


def names(response: pb.ListGalleriesResponse) -> list[str]:
    return [gallery.name for gallery in response.galleries]


async def test_visitors_are_told_of_the_default_gallery_alone_and_administrators_of_all(gateway: Gateway) -> None:
    gateway.vectors.galleries["family"] = gateway.vectors.galleries["default"]
    await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), all_faces=True), metadata=ADMIN)
    told = await gateway.stub.ListGalleries(LIST)
    assert told == pb.ListGalleriesResponse(galleries=[pb.GallerySummary(name="default", photo_count=1, face_count=2)])
    assert names(await gateway.stub.ListGalleries(LIST, metadata=ADMIN)) == ["default", "family"]
    # It is a list, and no lock.
    assert (await gateway.stub.Search(pb.SearchRequest(image=picture(), gallery="family"))).results


@pytest.mark.parametrize(
    ("public", "told"),
    [(("family", "gone"), ["family"]), (("*",), ["default", "family", "friends"]), ((), [])],
)
async def test_the_operator_names_what_visitors_are_told_of(
    tmp_path: Path, public: tuple[str, ...], told: list[str]
) -> None:
    async with running_gateway(tmp_path, public_galleries=public) as gateway:
        gateway.vectors.galleries |= dict.fromkeys(("family", "friends"), gateway.vectors.galleries["default"])
        assert names(await gateway.stub.ListGalleries(LIST)) == told


async def test_the_list_is_cut_off_at_its_bound(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(galleries, "MAX_LISTED_GALLERIES", 2)
    gateway.vectors.galleries |= dict.fromkeys(("family", "friends"), gateway.vectors.galleries["default"])
    assert names(await gateway.stub.ListGalleries(LIST, metadata=ADMIN)) == ["default", "family"]


def test_public_galleries_are_read_from_the_environment_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(GatewaySettings).public_galleries == ("default",)
    monkeypatch.setenv("TWIN_PUBLIC_GALLERIES", "family, friends")
    assert load_settings(GatewaySettings).public_galleries == ("family", "friends")
    monkeypatch.setenv("TWIN_PUBLIC_GALLERIES", "Family Photos")
    with pytest.raises(StartupError, match="TWIN_PUBLIC_GALLERIES"):
        load_settings(GatewaySettings)
