"""``twin demo``: everything on one machine, with a gallery to search; ``--check`` tries it from outside."""

import asyncio
import os
from typing import Final

import grpc
import grpc.aio
from rich.console import Console
from twin.gateway.v1 import gateway_pb2

from cli import demo_gallery, grpc_web
from cli.errors import CommandError, in_words
from cli.settings import ClientSettings
from cli.supervisor import Supervisor
from runtime.channels import open_channel

_CHECK_TIMEOUT_S: Final = 30.0
# The portrait that the check asks about, and whose it is.
_CHECK_PHOTO: Final = "gauss.png"
_CHECK_NAME: Final = "Carl Friedrich Gauss"


def demo(settings: ClientSettings) -> int:
    """Runs the services and the demo gallery until Ctrl-C; returns the exit code."""
    console = Console(highlight=False)
    image = _read_photo(settings, demo_gallery.PHOTO_NAME)
    # A newcomer wants the address, not a running commentary; problems are still told.
    os.environ.setdefault("TWIN_LOG_LEVEL", "warning")
    console.print("Starting PostgreSQL, the three services and the page …")

    async def when_ready(addresses: dict[str, str]) -> None:
        async with open_channel(addresses["gateway"], max_message_bytes=settings.max_message_bytes) as channel:
            try:
                face_count = await demo_gallery.load(channel, settings, image)
            except grpc.RpcError as error:
                raise CommandError(f"the demo gallery cannot be loaded: {in_words(error, 'the gateway')}") from error
        console.print(f"The demo gallery is loaded: {face_count} physicists of the 1927 Solvay Conference.")
        console.print()
        console.print(f"  Find Your Twin is up:  [bold]http://{addresses['gateway_http']}[/bold]")
        console.print("  Drop a photo on the page. Ctrl-C stops everything.")
        console.print()

    return asyncio.run(Supervisor(settings).run(when_ready, when_stopping=lambda: console.print("Stopping …")))


def check(settings: ClientSettings) -> int:
    """Searches once as the page does, and fetches what the page would show; prints the best twin and returns 0.

    Raises CommandError with what is wrong.
    """
    target = settings.target("gateway_http")
    page = grpc_web.get(target, "/", timeout_s=_CHECK_TIMEOUT_S)
    if b"<script" not in page:
        raise CommandError(f"http://{target}/ is not the page; build it with `make setup`")
    image = _read_photo(settings, _CHECK_PHOTO)
    answer = grpc_web.call(
        target,
        "/twin.gateway.v1.TwinService/Search",
        gateway_pb2.SearchRequest(image=image, limit=5),
        gateway_pb2.SearchResponse,
        timeout_s=_CHECK_TIMEOUT_S,
    )
    twins = answer.results[0].twins if answer.results else []
    if not twins:
        raise CommandError("the search found no twin; is the gallery empty?")
    best = twins[0]
    face = grpc_web.get(target, best.face_url, timeout_s=_CHECK_TIMEOUT_S)
    if not face.startswith(b"\xff\xd8"):
        raise CommandError("the twin's picture is no JPEG")
    name = best.match.person or best.match.photo_id
    similarity = best.match.similarity
    print(f"{_CHECK_NAME}'s best twin: {name}, {similarity.percent:.0f} % alike (cosine {similarity.cosine:.3f})")
    return 0


def _read_photo(settings: ClientSettings, name: str) -> bytes:
    """Returns one of the photographs that come with the starter pack."""
    photo = settings.models_path() / "starter" / "photos" / name
    try:
        return photo.read_bytes()
    except OSError as error:
        raise CommandError(f"{photo} is missing; `twin models pull starter` brings it") from error
