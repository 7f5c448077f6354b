"""Searches while Drive is there and while it is not, in turns: ``python -m tests.chaos.drive_outage [--rounds N]``.

The gateway and the Drive client are real, its peers are fakes, so that nothing but the gateway can slow a search down.
Photos are added all the while. Prints the p50 and p99 of both, and how long adds took to be refused and to be taken
again after Drive's return.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import grpc
import numpy as np
from twin.gateway.v1 import gateway_pb2 as pb

from gateway.drive_store import DriveStore
from tests.drive_emulator import DriveEmulator
from tests.gateway.drive_rig import settings_for
from tests.gateway.harness import Gateway, running_gateway, until
from tests.gateway.pictures import picture

SEARCHES = 200
CONSENT = pb.ConsentGrant(policy_version="2026-11")


async def search(gateway: Gateway, into: list[float]) -> None:
    image = picture(seed=9)
    for _ in range(SEARCHES):
        began = time.perf_counter()
        await gateway.stub.Search(pb.SearchRequest(image=image))
        into.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)


class Adds:
    """Adds photos one after the other, and notes when they are taken and how long a refusal took."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.refused_after_s: list[float] = []
        self.taken_at: list[float] = []

    async def go_on(self) -> None:
        for seed in range(10, 100_000):
            began = time.monotonic()
            try:
                await self._gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=seed), consent=CONSENT))
                self.taken_at.append(time.monotonic())
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                self.refused_after_s.append(time.monotonic() - began)
            await asyncio.sleep(0.2)


async def measure(rounds: int) -> None:
    with DriveEmulator() as emulator, tempfile.TemporaryDirectory() as folder:
        store = DriveStore(settings_for(emulator, Path(folder)))
        async with running_gateway(Path(folder), store=store) as gateway:
            await gateway.stub.AddPhoto(pb.AddPhotoRequest(image=picture(seed=9), consent=CONSENT))
            adds, there, away, returns_s = Adds(gateway), list[float](), list[float](), list[float]()
            adding = asyncio.create_task(adds.go_on())
            for _ in range(rounds):
                await search(gateway, there)
                emulator.down()
                await search(gateway, away)
                emulator.up()
                returned = time.monotonic()
                await until(lambda: adds.taken_at and adds.taken_at[-1] > returned)  # noqa: B023 - waited for here
                returns_s.append(adds.taken_at[-1] - returned)
            adding.cancel()
            for name, times in (("Drive is there", there), ("Drive is away ", away)):
                p50, p99 = np.percentile(times, [50, 99]) * 1000
                print(f"{name}: {len(times)} searches, p50 {p50:.2f} ms, p99 {p99:.2f} ms")
            refused_s = adds.refused_after_s
            print(f"{len(adds.taken_at)} adds taken; {len(refused_s)} refused, after {max(refused_s):.2f} s at most")
            print(f"adds were taken again {max(returns_s):.2f} s after the return at most")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.drive_outage")
    parser.add_argument("--rounds", type=int, default=6)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
