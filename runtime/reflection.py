"""gRPC server reflection that also describes single methods, as ``grpcurl describe pkg.Service.Method`` asks it to."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection

SERVICE_NAME: str = reflection.SERVICE_NAME


class _MethodAwarePool:
    """The default pool, which itself finds files by message, enum or service but not by method."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - the pool's own name
        """Returns the file that defines a symbol; raises KeyError when none does."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service_name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(service_name)
            if method not in service.methods_by_name:
                raise
            return service.file


def enable(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Adds the reflection service, which lists the named services."""
    reflection.enable_server_reflection(service_names, server, pool=_MethodAwarePool(descriptor_pool.Default()))
