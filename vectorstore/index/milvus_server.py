"""The Milvus behind the index: connecting, and one collection for each gallery of this replica."""

import importlib
import time
import uuid
from collections.abc import Callable, Iterable
from operator import methodcaller
from pathlib import Path
from typing import Any, Final

from runtime.errors import DependencyUnavailable, StartupError
from runtime.logs import get_logger
from vectorstore.index.base import Arrays
from vectorstore.index.milvus import MilvusIndex

_log = get_logger(__name__)

DEPENDENCY: Final = "Milvus"
# Kinds that compare every vector: others lose neighbours, most for faces that a gallery has never seen.
INDEX_TYPES: Final = ("FLAT", "GPU_BRUTE_FORCE")
_REPLICA_FILE: Final = "milvus-replica"
_CALL_TIMEOUT_S: Final = 30.0
# Writes are tried again, since they change nothing when they have been done before.
_TRIES: Final = 5
_FIRST_WAIT_S: Final = 0.2


class MilvusServer:
    """Makes indexes in one Milvus. ``client``: pymilvus's, whose calls may be made from many threads."""

    def __init__(self, client: Any, error_type: type[Exception], replica: str, index_type: str = "FLAT") -> None:
        """replica: tells this replica's collections from those of others. error_type: what the client raises."""
        if index_type not in INDEX_TYPES:
            raise StartupError(f"Milvus's index type {index_type!r} is not one of {', '.join(INDEX_TYPES)}")
        self._client = client
        self._errors = (error_type, OSError, TimeoutError)
        self._prefix = f"twin_{replica}_"
        self._index_type = index_type

    @classmethod
    def connect(cls, uri: str, folder: Path, *, token: str = "", index_type: str = "FLAT") -> "MilvusServer":
        """Connects to a server's address, or opens a local file with Milvus Lite.

        folder: where the name of this replica is kept. Raises StartupError.
        """
        try:
            pymilvus = importlib.import_module("pymilvus")
        except ImportError:
            raise StartupError("TWIN_INDEX=milvus needs the package pymilvus; install the extra milvus") from None
        try:
            client = pymilvus.MilvusClient(uri, token=token, timeout=_CALL_TIMEOUT_S)
        except Exception as error:
            # No text of the error: it may hold the token.
            raise StartupError(
                f"Milvus does not answer at {uri.split('@')[-1]} ({type(error).__name__}); check TWIN_MILVUS_URI"
            ) from None
        return cls(client, pymilvus.MilvusException, replica_name(folder), index_type)

    def empty(self, gallery_id: int, dimension: int) -> MilvusIndex:
        """Returns an index without faces; what the collection had is gone."""
        name = self._name(gallery_id)

        def create(client: Any) -> None:
            if client.has_collection(name):
                client.drop_collection(name)
            types = importlib.import_module("pymilvus").DataType
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", types.INT64, is_primary=True)
            schema.add_field("vector", types.FLOAT_VECTOR, dim=dimension)
            index = client.prepare_index_params()
            index.add_index("vector", index_type=self._index_type, metric_type="IP")
            client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")

        self._call(create, True)
        return MilvusIndex(self._call, name, dimension)

    def restore(self, gallery_id: int, dimension: int, arrays: Arrays) -> MilvusIndex:
        """Returns the index that was saved, without moving a vector.

        Raises KeyError or ValueError when the collection does not hold what was saved: then it is to be made anew.
        """
        name = self._name(gallery_id)
        if not self._call(methodcaller("has_collection", name), True):
            raise ValueError(f"Milvus has no collection {name}")
        self._call(methodcaller("load_collection", name), True)
        index = MilvusIndex(self._call, name, dimension)
        index.take_up(arrays)
        return index

    def keep_only(self, gallery_ids: Iterable[int]) -> None:
        """Drops this replica's collections of other galleries: those that were dropped while nobody looked."""
        kept = {self._name(gallery_id) for gallery_id in gallery_ids}
        for name in self._call(methodcaller("list_collections"), True):
            if name.startswith(self._prefix) and name not in kept:
                self._call(methodcaller("drop_collection", name), True)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _name(self, gallery_id: int) -> str:
        return f"{self._prefix}{gallery_id}"

    def _call(self, ask: Callable[[Any], Any], again: bool) -> Any:
        wait_s = _FIRST_WAIT_S
        for tries_left in range(_TRIES - 1 if again else 0, -1, -1):
            try:
                return ask(self._client)
            except self._errors as error:
                if not tries_left:
                    _log.warning("Milvus did not do what it was asked for", error=type(error).__name__)
                    raise DependencyUnavailable(DEPENDENCY) from None
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("unreachable")


def replica_name(folder: Path) -> str:
    """Returns the name that this folder's process has in Milvus, the same at every start."""
    file = folder / _REPLICA_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        temporary.write_text(uuid.uuid4().hex[:16])
        temporary.rename(file)
    return file.read_text().strip()
