"""Callers by the many: as fast as answers come, or at a rate that ignores them; and who asks for health meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twin.embedder.v1 import embedder_pb2 as pb
from twin.embedder.v1 import embedder_pb2_grpc as pb_grpc

from runtime.channels import LOCAL_OPTIONS
from runtime.status import error_info, retry_delay_s, status_from_rpc_error
from tests.support.embedder_process import SERVICE

OK = "OK"
OVERLOADED = "OVERLOADED"

_MESSAGE_BYTES = 48 * 2**20
_OPTIONS = (
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    # Channels to one address share a connection unless they are told not to.
    ("grpc.use_local_subchannel_pool", 1),
    *LOCAL_OPTIONS,
)
_HEALTH_INTERVAL_S = 0.05

Send = Callable[[], Awaitable[str]]
"""Makes one call and tells what came of it."""


def connection(address: str) -> grpc.aio.Channel:
    """Opens a channel with a connection of its own, as another caller's."""
    return grpc.aio.insecure_channel(address, options=_OPTIONS)


@asynccontextmanager
async def clients(address: str, count: int) -> AsyncIterator[list[Any]]:
    """Yields the embedder's clients, each with a connection of its own."""
    channels = [connection(address) for _ in range(count)]
    try:
        yield [pb_grpc.EmbedderServiceStub(channel) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()


async def outcome_of(call: Awaitable[Any]) -> str:
    """Returns "OK", or the reason of a failure; a refusal must be as the contract has it to be told as OVERLOADED."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        status = status_from_rpc_error(error)
        info = error_info(status)
        if info is None:
            return error.code().name
        if info.reason == OVERLOADED:
            delay_s = retry_delay_s(status)
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED or delay_s is None or delay_s <= 0:
                return f"OVERLOADED with {error.code().name} and a delay of {delay_s}"
        reason: str = info.reason
        return reason
    return OK


def embed(client: Any, image: bytes, *, timeout_s: float = 60.0) -> Send:
    """Returns a call that embeds the photo."""
    request = pb.EmbedRequest(image=image)
    return lambda: outcome_of(client.Embed(request, timeout=timeout_s))


@dataclass(slots=True)
class Tally:
    """What came of many calls: how many of each outcome, and how long each took."""

    window_s: float = 0.0
    in_window: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def note(self, outcome: str, duration_s: float, *, in_window: bool = True) -> None:
        self.seconds.setdefault(outcome, []).append(duration_s)
        self.in_window[outcome] += in_window

    @property
    def counts(self) -> dict[str, int]:
        return {outcome: len(seconds) for outcome, seconds in sorted(self.seconds.items())}

    @property
    def accepted_per_s(self) -> float:
        """Answers with a vector that came within the window; what waited for its turn at its end is not counted."""
        return self.in_window[OK] / self.window_s

    def quantile_ms(self, outcome: str, part: float) -> float:
        return quantile_ms(self.seconds.get(outcome, []), part)

    def __str__(self) -> str:
        told = [f"{self.accepted_per_s:.1f}/s accepted"]
        for outcome, count in self.counts.items():
            p50, p99 = (self.quantile_ms(outcome, part) for part in (0.5, 0.99))
            told.append(f"{outcome} {count} (p50 {p50:.0f} ms, p99 {p99:.0f} ms)")
        return ", ".join(told)


def quantile_ms(seconds: list[float], part: float) -> float:
    """Returns the duration that so large a part of all are no longer than; 0 for none."""
    ranked = sorted(seconds)
    return 1000 * ranked[min(int(part * len(ranked)), len(ranked) - 1)] if ranked else 0.0


async def closed_loop(sends: list[Send], duration_s: float) -> Tally:
    """Lets each caller call again as soon as it has its answer."""
    tally = Tally(duration_s)
    end = time.monotonic() + duration_s

    async def caller(send: Send) -> None:
        while (start := time.monotonic()) < end:
            outcome = await send()
            now = time.monotonic()
            tally.note(outcome, now - start, in_window=now <= end)

    await asyncio.gather(*[caller(send) for send in sends])
    return tally


async def open_loop(sends: list[Send], rate_per_s: float, duration_s: float) -> Tally:
    """Calls at a steady rate, whatever comes of it, each caller in its turn; then waits for what is unanswered."""
    tally = Tally(duration_s)
    begin = time.monotonic()
    end = begin + duration_s

    async def one(send: Send) -> None:
        start = time.monotonic()
        outcome = await send()
        now = time.monotonic()
        tally.note(outcome, now - start, in_window=now <= end)

    async with asyncio.TaskGroup() as calls:
        for number in range(int(rate_per_s * duration_s)):
            await asyncio.sleep(max(begin + number / rate_per_s - time.monotonic(), 0))
            calls.create_task(one(sends[number % len(sends)]))
    return tally


@dataclass(slots=True)
class Health:
    """What somebody who asked for health all the time was told."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        p50, p99, worst = (quantile_ms(self.seconds, part) for part in (0.5, 0.99, 1.0))
        figures = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, worst {worst:.0f} ms"
        return f"health: {len(self.seconds)} answers, {len(self.failures)} failures; {figures}"


@asynccontextmanager
async def health_polled(
    address: str, *, deadline_s: float, interval_s: float = _HEALTH_INTERVAL_S
) -> AsyncIterator[Health]:
    """Asks for health over a connection of its own for as long as the block lasts."""
    told = Health()

    async def poll(stub: Any) -> None:
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        while True:
            start = time.monotonic()
            try:
                answer = await stub.Check(request, timeout=deadline_s)
            except grpc.aio.AioRpcError as error:
                told.failures.append(error.code().name)
            else:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    told.seconds.append(time.monotonic() - start)
                else:
                    told.failures.append("NOT_SERVING")
            await asyncio.sleep(interval_s)

    async with connection(address) as channel:
        polling = asyncio.create_task(poll(health_pb2_grpc.HealthStub(channel)))
        try:
            yield told
        finally:
            polling.cancel()
            await asyncio.gather(polling, return_exceptions=True)
