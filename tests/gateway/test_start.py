"""Starting: what the gateway waits for, what it makes, and what stops it."""

import asyncio
from pathlib import Path

import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.start import wait_for_peers
from runtime.errors import DependencyUnavailable, InvalidField, NotReady, StartupError, TwinError
from tests.gateway.fakes import MODEL_ID
from tests.gateway.harness import ADMIN, Gateway, running_gateway, until
from tests.gateway.pictures import picture


async def start(gateway: Gateway, heard: list[str] | None = None) -> None:
    service = gateway.service
    listener = heard if heard is not None else []
    await wait_for_peers(service._embedder, service._vectors, listener.append)


async def test_it_waits_for_both_peers_and_makes_the_default_gallery(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        gateway.embedder.script.fail("GetModel", NotReady("loading"))
        gateway.vectors.script.fail("ListGalleries", DependencyUnavailable("postgres"))
        heard: list[str] = []
        starting = asyncio.create_task(start(gateway, heard))
        await until(lambda: gateway.embedder.script.calls["GetModel"] >= 2)
        assert heard == ["waiting for the embedder"]
        gateway.embedder.script.heal()
        await until(lambda: gateway.vectors.script.calls["ListGalleries"] >= 2)
        assert heard[-1] == "waiting for the vectorstore"
        assert not starting.done()
        gateway.vectors.script.heal()
        await starting
        assert gateway.vectors.galleries == {"default": MODEL_ID}


async def test_a_gallery_that_is_there_is_left_alone(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        gateway.vectors.galleries["default"] = MODEL_ID
        await start(gateway)
        assert gateway.vectors.script.calls["CreateGallery"] == 0


async def test_a_gallery_of_another_model_stops_the_start(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        gateway.vectors.galleries["default"] = "another-model"
        with pytest.raises(StartupError, match="TWIN_MODEL_PACK"):
            await start(gateway)


async def test_what_waiting_does_not_mend_is_raised(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, start=False) as gateway:
        gateway.vectors.script.fail("CreateGallery", InvalidField("dimension", "is wrong"))
        with pytest.raises(TwinError):
            await start(gateway)


async def test_nothing_private_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with running_gateway(tmp_path) as gateway:
        request = pb.AddPhotoRequest(image=picture(), original_filename="planted-name.jpg", person="Planted Person")
        receipt = (await gateway.stub.AddPhoto(request, metadata=ADMIN)).saved_photo
        gateway.embedder.script.fail("Embed", RuntimeError("a bug"))
        with pytest.raises(Exception, match="internal error"):
            await gateway.stub.Search(pb.SearchRequest(image=picture(), original_filename="planted-name.jpg"))
        gateway.vectors.script.fail("ConfirmRemoval", DependencyUnavailable("postgres"))
        deletion = pb.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)
        await gateway.stub.DeletePhoto(deletion)
        gateway.vectors.script.heal()
    logged = "".join(capfd.readouterr())
    assert "left to the retry" in logged, "the log is looked at"
    for planted in ("planted-name", "Planted Person", receipt.deletion_token, "an-administrators-key"):
        assert planted not in logged
