"""Originals that were recorded before they were stored: told of until their photo is there, or they are gone."""

import uuid
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from twin.vectorstore.v1 import vectorstore_pb2 as pb

from tests.vectorstore.conftest import StartStore
from tests.vectorstore.wire import DIMENSION, MODEL, add_one, photo, random_unit

Rng = np.random.Generator


def reserving(key: str) -> pb.ReserveOriginalRequest:
    source = pb.PhotoSource(store="drive", key=key)
    return pb.ReserveOriginalRequest(photo_id=str(uuid.uuid4()), source=source)


async def keys(stub: Any, **more: Any) -> list[str]:
    return [
        found.source.key for found in (await stub.ListReservations(pb.ListReservationsRequest(**more))).reservations
    ]


async def test_what_was_reserved_is_told_of_until_its_photo_is_there(stub: Any, rng: Rng) -> None:
    for key in ("kept/one", "kept/two", "kept/one"):
        await stub.ReserveOriginal(reserving(key))
    assert await keys(stub) == ["kept/one", "kept/two"]
    added = await add_one(stub, photo(random_unit(rng), source=pb.PhotoSource(store="drive", key="kept/one")))
    assert await keys(stub) == ["kept/two"]
    # It is forgotten by its photo, and not only hidden by it.
    await stub.DeletePhoto(pb.DeletePhotoRequest(photo_id=added.photo_id))
    assert await keys(stub) == ["kept/two"]


async def test_a_photo_on_its_way_is_left_alone(stub: Any) -> None:
    await stub.ReserveOriginal(reserving("kept/one"))
    assert await keys(stub, min_age=Duration(seconds=60)) == []


async def test_a_reservation_is_released_once_its_original_is_gone(stub: Any) -> None:
    for number in range(5):
        await stub.ReserveOriginal(reserving(f"kept/{number}"))
    first = await stub.ListReservations(pb.ListReservationsRequest(page_size=3))
    assert [found.source.key for found in first.reservations] == ["kept/0", "kept/1", "kept/2"]
    assert await keys(stub, page_token=first.next_page_token) == ["kept/3", "kept/4"]
    for _ in range(2):
        await stub.ReleaseReservation(pb.ReleaseReservationRequest(reservation_id=first.reservations[1].reservation_id))
    assert await keys(stub) == ["kept/0", "kept/2", "kept/3", "kept/4"]


async def test_reservations_survive_a_restart(start_store: StartStore) -> None:
    async with start_store() as store:
        await store.stub.CreateGallery(pb.CreateGalleryRequest(model_id=MODEL, dimension=DIMENSION))
        await store.stub.ReserveOriginal(reserving("kept/one"))
    async with start_store() as store:
        assert await keys(store.stub) == ["kept/one"]


async def test_bad_fields_are_refused(stub: Any) -> None:
    bad_key = reserving("kept/one")
    bad_key.source.key = ""
    bad_id = reserving("kept/one")
    bad_id.photo_id = "x"
    for call in (
        stub.ReserveOriginal(bad_key),
        stub.ReserveOriginal(bad_id),
        stub.ListReservations(pb.ListReservationsRequest(min_age=Duration(seconds=-1))),
        stub.ListReservations(pb.ListReservationsRequest(min_age=Duration(seconds=2**62))),
        stub.ListReservations(pb.ListReservationsRequest(page_token="removals:1")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
