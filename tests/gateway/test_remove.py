"""Deleting: tokens, order, retries, and what stays its owner's."""

import uuid
from pathlib import Path

import aiohttp
import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.local_store import LocalStore
from runtime.errors import DependencyUnavailable
from tests.gateway.harness import ADMIN, Gateway, refusal, running_gateway, until
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11")


class StubbornStore(LocalStore):
    """A local store that cannot remove anything while it is told so."""

    stubborn = False

    async def delete(self, key: str) -> None:
        if self.stubborn:
            raise DependencyUnavailable(self.name)
        await super().delete(key)


async def kept(gateway: Gateway, seed: int = 1) -> pb.SavedPhoto:
    response = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=seed), consent=CONSENT))
    receipt: pb.SavedPhoto = response.saved_photo
    return receipt


def deletion(receipt: pb.SavedPhoto) -> pb.DeletePhotoRequest:
    return pb.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token=receipt.deletion_token)


async def test_the_token_deletes_everything_and_deleting_again_answers_the_same(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    answer = await gateway.stub.DeletePhoto(deletion(receipt))
    assert answer == pb.DeletePhotoResponse(face_count=1, original_removed=True)
    assert gateway.vectors.photos == {}
    assert gateway.vectors.removals == {}
    assert not list((gateway.photos_dir / "kept").iterdir())
    assert await gateway.stub.DeletePhoto(deletion(receipt)) == answer
    gone = gateway.stub.GetPhoto(pb.GetPhotoRequest(photo_id=receipt.photo_id))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gone.read()
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_wrong_token_and_an_unknown_photo_are_told_apart_by_nothing(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    wrong = pb.DeletePhotoRequest(photo_id=receipt.photo_id, deletion_token="A" * 43)
    unknown = pb.DeletePhotoRequest(photo_id=str(uuid.uuid4()), deletion_token=receipt.deletion_token)
    told = []
    for request in (wrong, unknown):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway.stub.DeletePhoto(request)
        details = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
        told.append((caught.value.code(), caught.value.details(), details))
    assert told[0] == told[1]
    assert told[0][0] is grpc.StatusCode.NOT_FOUND
    assert receipt.photo_id in gateway.vectors.photos


async def test_a_visitor_without_a_token_never_reaches_the_vector_store(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    request = pb.DeletePhotoRequest(photo_id=receipt.photo_id)
    assert await refusal(gateway.stub.DeletePhoto(request)) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert gateway.vectors.script.calls["DeletePhoto"] == 0
    assert (await gateway.stub.DeletePhoto(request, metadata=ADMIN)).original_removed


async def test_a_failing_vector_store_leaves_the_original_in_place(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    gateway.vectors.script.fail("DeletePhoto", DependencyUnavailable("postgres"))
    assert (await refusal(gateway.stub.DeletePhoto(deletion(receipt))))[0] is grpc.StatusCode.UNAVAILABLE
    assert len(gateway.kept_files()) == 1
    gateway.vectors.script.heal()
    assert (await gateway.stub.DeletePhoto(deletion(receipt))).original_removed
    assert gateway.kept_files() == []


async def test_a_deletion_whose_answer_was_lost_is_finished_by_the_retry(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    gateway.vectors.script.fail_after("DeletePhoto", DependencyUnavailable("postgres"))
    assert (await refusal(gateway.stub.DeletePhoto(deletion(receipt))))[0] is grpc.StatusCode.UNAVAILABLE
    await until(lambda: not gateway.vectors.removals)
    assert gateway.kept_files() == []


async def test_originals_that_cannot_be_removed_are_tried_until_they_are_gone(tmp_path: Path) -> None:
    store = StubbornStore(tmp_path / "data" / "photos")
    async with running_gateway(tmp_path, store=store) as gateway:
        receipts = [await kept(gateway, seed) for seed in range(5)]
        store.stubborn = True
        for receipt in receipts:
            answer = await gateway.stub.DeletePhoto(deletion(receipt))
            assert answer == pb.DeletePhotoResponse(face_count=1, original_removed=False)
        assert gateway.vectors.photos == {}
        assert len(gateway.vectors.removals) == 5
        assert not (await gateway.stub.DeletePhoto(deletion(receipts[0]))).original_removed
        store.stubborn = False
        await until(lambda: not gateway.vectors.removals)
        assert gateway.kept_files() == []
        assert (await gateway.stub.DeletePhoto(deletion(receipts[0]))).original_removed


async def test_an_unconfirmed_removal_is_confirmed_by_the_retry(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    gateway.vectors.script.fail("ConfirmRemoval", DependencyUnavailable("postgres"))
    assert not (await gateway.stub.DeletePhoto(deletion(receipt))).original_removed
    gateway.vectors.script.heal()
    await until(lambda: not gateway.vectors.removals)


async def test_an_original_in_another_store_stays_to_be_removed(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    gateway.vectors.photos[receipt.photo_id][1].source.store = "elsewhere"
    assert not (await gateway.stub.DeletePhoto(deletion(receipt))).original_removed
    assert list(gateway.vectors.removals) == [receipt.photo_id]


async def test_pictures_in_the_cache_go_with_their_photo(gateway: Gateway) -> None:
    receipt = await kept(gateway)
    found = await gateway.stub.Search(pb.SearchRequest(image=picture()))
    (twin,) = found.results[0].yourself
    cache = gateway.data_dir / "gateway" / "pictures"
    async with aiohttp.ClientSession() as session:
        for url in (twin.thumbnail_url, twin.face_url, twin.image_url):
            async with session.get(gateway.url + url) as response:
                assert response.status == 200
        assert len([path for path in cache.rglob("*") if path.is_file()]) == 3
        await gateway.stub.DeletePhoto(deletion(receipt))
        assert list(cache.iterdir()) == []
        for url in (twin.thumbnail_url, twin.face_url, twin.image_url):
            async with session.get(gateway.url + url) as response:
                assert response.status == 404
