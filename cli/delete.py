"""``twin delete``: photos removed everywhere by whoever runs the service, without their receipts."""

from collections.abc import Sequence
from typing import Final

import grpc
from rich.console import Console
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc

from cli.errors import CommandError, in_words
from cli.gateway_channel import gateway_channel
from cli.settings import ClientSettings
from runtime.names import check_photo_id

_TIMEOUT_S: Final = 30.0


def delete(photo_ids: Sequence[str], settings: ClientSettings, console: Console) -> int:
    """Deletes each photo and prints what became of it; returns 0. Raises CommandError at the first that fails."""
    wanted = [check_photo_id(photo_id) for photo_id in photo_ids]
    target = settings.target("gateway")
    with gateway_channel(settings) as channel:
        stub = gateway_pb2_grpc.TwinServiceStub(channel)
        for photo_id in wanted:
            request = gateway_pb2.DeletePhotoRequest(photo_id=photo_id)
            try:
                answer = stub.DeletePhoto(request, timeout=_TIMEOUT_S, metadata=settings.admin_metadata())
            except grpc.RpcError as error:
                raise CommandError(f"{photo_id}: {in_words(error, target)}") from error
            original = "" if answer.original_removed else "; its original is still being removed"
            console.print(f"{photo_id} deleted, faces: {answer.face_count}{original}", soft_wrap=True)
    return 0
