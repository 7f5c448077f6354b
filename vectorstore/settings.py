"""What the vector store can be told."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings import BindAddress, ServiceSettings


class VectorStoreSettings(ServiceSettings):
    """From the environment, each with the prefix TWIN_."""

    vectorstore_bind: BindAddress = "127.0.0.1:50052"
    metrics_bind: BindAddress = "127.0.0.1:9152"
    # Unset: the embedded PostgreSQL under the data folder. Secret, since it can hold a password.
    database_url: SecretStr | None = None
    # The URL leads to a pooler that lends a connection for one transaction at a time, such as pgbouncer.
    database_pooled: bool = False
    # auto, flat, compressed, cuda-..., milvus; checked where the kinds are known.
    index: str = "auto"
    # For milvus: a server's address, or a file for Milvus Lite, secret since it can hold a password; and a token.
    milvus_uri: SecretStr = SecretStr("")
    milvus_token: SecretStr = SecretStr("")
    # Between two looks for photos whose consent ran out.
    expiry_interval_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    # What was deleted, to delete it again after a restore; unset: deletions.journal under the data folder.
    deletion_journal: Path | None = None
    # How long it names a deletion: longer than any backup is kept.
    deletion_journal_days: Annotated[float, Field(ge=1, le=36_500)] = 400.0
    # Searches at once, each in a thread that keeps a core busy; by default as many as there are cores.
    search_threads: Annotated[int, Field(default_factory=lambda: max(2, os.cpu_count() or 1), ge=1, le=256)]
    # Searches that may wait for a thread; more are refused at once.
    search_queue_size: Annotated[int, Field(ge=1, le=10_000)] = 256
    # How far back the change log reaches. A replica or a snapshot that is further behind is built anew.
    change_log_retention_hours: Annotated[float, Field(ge=1, le=87_600)] = 168.0
    # Between two looks whether a snapshot is due; 0: none is written unasked. A deleted photo leaves the disk by then.
    snapshot_interval_s: Annotated[float, Field(ge=0, le=86_400)] = 900.0
    # Changes that are worth a snapshot; of a large gallery, a hundredth of its faces are.
    snapshot_least_changes: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    # How long one may take at an orderly stop; 0: none is written then.
    snapshot_stop_patience_s: Annotated[float, Field(ge=0, le=300)] = 8.0
