"""A gateway of a test's own behind a real port."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from twin.gateway.v1 import gateway_pb2_grpc


@contextmanager
def serving(gateway: gateway_pb2_grpc.TwinServiceServicer) -> Iterator[str]:
    """Serves the gateway; yields its address."""
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        gateway_pb2_grpc.add_TwinServiceServicer_to_server(gateway, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(0).wait()
