"""``twin export``: all that is held about a photo, as a ZIP file."""

import os
from pathlib import Path
from typing import Final

import grpc
from rich.console import Console
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc

from cli.errors import CommandError, in_words
from cli.gateway_channel import gateway_channel
from cli.settings import ClientSettings
from runtime.names import check_photo_id

_TIMEOUT_S: Final = 600.0
_OUT_OF_REACH: Final = gateway_pb2.EXPORTED_ORIGINAL_OUT_OF_REACH


def export(photo_id: str, token: str | None, file: Path | None, settings: ClientSettings, console: Console) -> int:
    """Writes the archive and returns 0, or 1 where it lacks an original that is held.

    token: of the photo's receipt; None: asked for with the admin role.

    Raises CommandError, and leaves no file then; InvalidField for what is no photo's id.
    """
    wanted = check_photo_id(photo_id)
    file = file or Path(f"photo-{wanted}.zip")
    target = settings.target("gateway")
    original = gateway_pb2.EXPORTED_ORIGINAL_UNSPECIFIED
    request = gateway_pb2.ExportPhotoRequest(photo_id=wanted, deletion_token=token or "")
    metadata = settings.admin_metadata() if token is None else ()
    try:
        # For the owner alone: it holds what others are not to have.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(f"{file} is there already; name another file with --output") from error
    try:
        with os.fdopen(descriptor, "wb") as archive, gateway_channel(settings) as channel:
            stub = gateway_pb2_grpc.TwinServiceStub(channel)
            for piece in stub.ExportPhoto(request, timeout=_TIMEOUT_S, metadata=metadata):
                archive.write(piece.data)
                original = piece.original
    except BaseException as error:
        file.unlink(missing_ok=True)
        if isinstance(error, grpc.RpcError):
            raise CommandError(in_words(error, target)) from error
        raise
    if original == _OUT_OF_REACH:
        console.print(
            f"what is held about {wanted} is in {file}, but for the original: it is in a store that the gateway does"
            " not use now (source.store in photo.json), and is to be had from there",
            soft_wrap=True,
        )
        return 1
    console.print(f"all that is held about {wanted} is in {file}", soft_wrap=True)
    return 0
