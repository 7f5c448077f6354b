"""``twin drive reconcile``: originals that no photo names, and photos whose original is gone."""

from typing import Final

import grpc
from rich.console import Console
from twin.gateway.v1 import gateway_pb2 as pb
from twin.gateway.v1 import gateway_pb2_grpc

from cli.errors import CommandError, in_words
from cli.gateway_channel import gateway_channel
from cli.settings import ClientSettings

_KINDS: Final = {
    pb.ORPHAN_KIND_ORIGINAL: "original without a photo",
    pb.ORPHAN_KIND_PHOTO: "photo without its original",
}


def reconcile(*, apply: bool, max_removals: int, settings: ClientSettings, console: Console) -> int:
    """Prints what has only one side, and removes it when told to; returns 0 when nothing is left, 1 when something is.

    max_removals: 0 for the service's own cap. Raises CommandError when the two sides cannot be compared: then nothing
    was removed, or what was printed as such.
    """
    state = pb.ReconcilePhotosResponse()
    request = pb.ReconcilePhotosRequest(apply=apply, max_removals=max_removals)
    with gateway_channel(settings) as channel:
        try:
            for state in gateway_pb2_grpc.TwinServiceStub(channel).ReconcilePhotos(
                request, metadata=settings.admin_metadata()
            ):
                for orphan in state.orphans:
                    done = "  removed" if orphan.removed else ""
                    console.print(
                        f"{_KINDS[orphan.kind]}  {orphan.photo_id}  {orphan.source.key}{done}", soft_wrap=True
                    )
        except grpc.RpcError as error:
            raise CommandError(in_words(error, settings.target("gateway"))) from error
    orphan_count = state.orphaned_original_count + state.orphaned_photo_count
    console.print(
        f"{state.original_count} originals and {state.photo_count} photos looked at: {state.orphaned_original_count} "
        f"originals without a photo, {state.orphaned_photo_count} photos without their original, "
        f"{state.removed_count} removed."
    )
    left = orphan_count - state.removed_count
    if left and not apply:
        console.print("Nothing was removed; --apply does it.")
    elif left:
        console.print(f"{left} are left: run it again, or raise --max.")
    return 1 if left else 0
