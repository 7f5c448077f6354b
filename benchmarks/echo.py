"""``python -m benchmarks.echo BYTES``: a gRPC server that answers everything with so many bytes, and no more."""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

METHOD = "/twin.benchmark.Echo/Say"


class _Everything(grpc.GenericRpcHandler):
    def __init__(self, answer: bytes) -> None:
        async def say(_request: bytes, _context: Any) -> bytes:
            return answer

        self._handler: Any = grpc.unary_unary_rpc_method_handler(say)

    def service(self, _details: grpc.HandlerCallDetails) -> Any:
        return self._handler


async def _serve(answer: bytes) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_Everything(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(bytes(int(sys.argv[1]))))
