"""The channel of commands that make one call after another."""

import grpc

from cli.settings import ClientSettings
from runtime.channels import LOCAL_OPTIONS


def gateway_channel(settings: ClientSettings) -> grpc.Channel:
    """Returns a channel to the gateway that takes photos of every allowed size."""
    limit = settings.max_message_bytes
    options = [
        ("grpc.max_send_message_length", limit),
        ("grpc.max_receive_message_length", limit),
        *LOCAL_OPTIONS,
    ]
    return grpc.insecure_channel(settings.target("gateway"), options=options)
