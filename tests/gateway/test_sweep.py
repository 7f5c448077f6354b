"""The sweep: originals that no photo names go, and nothing on any doubt."""

import uuid

import grpc
import pytest
from twin.gateway.v1 import gateway_pb2 as pb
from twin.vectorstore.v1 import vectorstore_pb2 as vs

from gateway.photo_store import new_key
from gateway.sweep import Sweeper
from runtime.errors import DeadlineExceeded, DependencyUnavailable, TwinError
from tests.gateway.harness import Gateway, refusal
from tests.gateway.memory_store import MemoryStore
from tests.gateway.pictures import picture

CONSENT = pb.ConsentGrant(policy_version="2026-11")


def sweeper(gateway: Gateway) -> Sweeper:
    service = gateway.service
    return Sweeper(service._vectors, service._store, store_timeout_s=5, min_age_s=-1)


async def keep_one(gateway: Gateway) -> None:
    """Keeps a photo, so that the database is seen to be the right one."""
    await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=99), consent=CONSENT))


@pytest.mark.parametrize("step", ["item", "Enroll"])
@pytest.mark.parametrize("error", [DependencyUnavailable("vectorstore"), DeadlineExceeded(), RuntimeError("a bug")])
async def test_an_unknown_outcome_that_did_not_happen_is_swept_up(
    gateway: Gateway, step: str, error: Exception
) -> None:
    await keep_one(gateway)
    kept = gateway.kept_files()
    gateway.embedder.script.fail(step, error)
    with pytest.raises(grpc.aio.AioRpcError):
        await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT))
    assert len(gateway.kept_files()) == 2, "it may have happened"
    assert await sweeper(gateway).sweep() == 1
    assert gateway.kept_files() == kept


async def test_the_sweep_is_in_the_audit_log_before_it_removes_anything(gateway: Gateway) -> None:
    assert await sweeper(gateway).sweep() == 0
    assert gateway.vectors.recorded == [], "nothing was to be done"
    await keep_one(gateway)
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    gateway.vectors.script.fail("RecordAudit", DependencyUnavailable("postgres"))
    with pytest.raises(TwinError):
        await sweeper(gateway).sweep()
    assert len(gateway.kept_files()) == 2
    gateway.vectors.script.heal()
    assert await sweeper(gateway).sweep() == 1
    assert gateway.vectors.recorded == [vs.RecordAuditRequest(action=vs.EXTERNAL_ACTION_RECONCILE, photo_count=1)]


async def test_the_sweep_removes_nothing_on_any_doubt(gateway: Gateway) -> None:
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    for error in (DependencyUnavailable("postgres"), RuntimeError("a bug")):
        gateway.vectors.script.fail("GetPhoto", error)
        with pytest.raises(TwinError):
            await sweeper(gateway).sweep()
        assert len(gateway.kept_files()) == 1
    gateway.vectors.script.heal()
    young = Sweeper(gateway.service._vectors, gateway.service._store, store_timeout_s=5)
    assert await young.sweep() == 0, "what is younger than an hour may still be under way"


@pytest.mark.parametrize("photo_count", [1, 25])
async def test_the_sweep_refuses_to_empty_a_store_that_the_database_does_not_know(
    gateway: Gateway, photo_count: int
) -> None:
    for number in range(photo_count):
        await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=number), consent=CONSENT))
    gateway.vectors.photos.clear()
    assert await sweeper(gateway).sweep() == 0
    assert len(gateway.kept_files()) == photo_count


async def test_so_many_orphans_that_not_all_are_removed_at_once_are_still_too_many(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of one sweep must not hide how many there are: with it, a store was emptied piece by piece."""
    monkeypatch.setattr("gateway.sweep.MAX_REMOVALS", 22)
    store = MemoryStore()
    for _ in range(60):
        await store.put(new_key(str(uuid.uuid4()), "jpg"), b"")
    assert await Sweeper(gateway.service._vectors, store, store_timeout_s=5, min_age_s=-1).sweep() == 0
    assert len(store.objects) == 60


async def test_the_sweep_leaves_what_is_not_ours(gateway: Gateway) -> None:
    strangers = [gateway.photos_dir / "holiday.jpg", gateway.photos_dir / "kept" / "notes.txt"]
    for path in strangers:
        path.write_bytes(picture())
    assert await sweeper(gateway).sweep() == 0
    assert all(path.exists() for path in strangers)


async def test_a_link_among_the_originals_is_no_way_to_the_owners_file(gateway: Gateway) -> None:
    await keep_one(gateway)
    owned = gateway.photos_dir / "holiday.jpg"
    owned.write_bytes(picture())
    link = gateway.photos_dir / new_key(str(uuid.uuid4()), "jpg")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(owned)
    assert await sweeper(gateway).sweep() == 0
    assert owned.exists()


async def test_a_crash_before_the_photo_came_leaves_nothing_for_long(gateway: Gateway) -> None:
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    gateway.embedder.script.heal()
    kept = await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=2), consent=CONSENT))
    assert len(gateway.kept_files()) == 2
    assert await sweeper(gateway).sweep_reservations() == 1
    assert [path.name[:36] for path in gateway.kept_files()] == [kept.saved_photo.photo_id]
    assert await sweeper(gateway).sweep_reservations() == 0


async def test_an_original_that_cannot_be_removed_does_not_keep_the_others(gateway: Gateway) -> None:
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    for seed in (1, 2):
        await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=seed), consent=CONSENT)))
    gateway.embedder.script.heal()
    keys = [reservation.source.key for _, reservation in sorted(gateway.vectors.reserved.items())]
    stuck, other = (gateway.photos_dir / key for key in keys)
    stuck.unlink()
    (stuck / "inside").mkdir(parents=True)
    with pytest.raises(TwinError):
        await sweeper(gateway).sweep_reservations()
    assert not other.exists()
    assert list(gateway.vectors.reserved) == [1]


async def test_what_was_reserved_goes_once_the_audit_log_says_so(gateway: Gateway) -> None:
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    gateway.vectors.script.fail("RecordAudit", DependencyUnavailable("postgres"))
    with pytest.raises(TwinError):
        await sweeper(gateway).sweep_reservations()
    assert len(gateway.kept_files()) == 1
    gateway.vectors.script.heal()
    assert await sweeper(gateway).sweep_reservations() == 1
    assert gateway.vectors.recorded == [vs.RecordAuditRequest(action=vs.EXTERNAL_ACTION_RECONCILE, photo_count=1)]


async def test_nothing_is_stored_that_was_not_recorded(gateway: Gateway) -> None:
    gateway.vectors.script.fail("ReserveOriginal", DependencyUnavailable("postgres"))
    refused = await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    assert refused == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert gateway.kept_files() == []


async def test_the_sweep_leaves_what_another_store_holds(gateway: Gateway) -> None:
    gateway.embedder.script.fail("item", DependencyUnavailable("vectorstore"))
    await refusal(gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(), consent=CONSENT)))
    gateway.vectors.reserved[1].source.store = "drive"
    assert await sweeper(gateway).sweep_reservations() == 0
    assert len(gateway.kept_files()) == 1
