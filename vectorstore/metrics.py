"""What the vector store measures of itself."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

DATABASE_UP: Final = Gauge("twin_vectorstore_database_up", "1 while PostgreSQL answers.")
FACES: Final = Gauge("twin_vectorstore_faces", "Faces that can be found.", ("gallery",))
TOMBSTONES: Final = Gauge("twin_vectorstore_tombstones", "Deleted rows that still take room.", ("gallery",))
APPLIED_REVISION: Final = Gauge("twin_vectorstore_applied_revision", "The last change applied here.")
DATABASE_REVISION: Final = Gauge("twin_vectorstore_database_revision", "The last change in the database, as last seen.")
PHOTOS_ADDED: Final = Counter("twin_vectorstore_photos_added", "Photos added by this replica.")
PHOTOS_DELETED: Final = Counter("twin_vectorstore_photos_deleted", "Photos deleted by this replica.", ("why",))
SCAN_SECONDS: Final = Histogram(
    "twin_vectorstore_search_seconds",
    "Time that one group of searches took, queueing excluded.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
SEARCH_GROUP_QUERIES: Final = Histogram(
    "twin_vectorstore_search_group_queries",
    "Queries that were answered by one scan.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 256, 1024),
)
ADD_BATCH_PHOTOS: Final = Histogram(
    "twin_vectorstore_add_batch_photos",
    "Photos committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
JOURNAL_FAILURES: Final = Counter(
    "twin_vectorstore_deletion_journal_failures", "Times that the journal of deletions could not be written."
)
CHANGES_PRUNED: Final = Counter("twin_vectorstore_changes_pruned", "Old changes that this replica removed.")
OLDEST_TRANSACTION_SECONDS: Final = Gauge(
    "twin_vectorstore_oldest_transaction_seconds",
    "Age of the transaction that every other writer waits for; 0 while there is none.",
)
UPKEEP_SECONDS: Final = Histogram(
    "twin_vectorstore_upkeep_seconds",
    "Time that one piece of background work on an index took.",
    buckets=(0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900),
)
UPKEEP_FAILURES: Final = Counter("twin_vectorstore_upkeep_failures", "Pieces of background work that failed.")
SNAPSHOT_TIME: Final = Gauge(
    "twin_vectorstore_snapshot_time_seconds", "When the snapshot that a start would use was written; 0 for none."
)
SNAPSHOT_BYTES: Final = Gauge("twin_vectorstore_snapshot_bytes", "Size of that snapshot.")
SNAPSHOT_SECONDS: Final = Gauge("twin_vectorstore_snapshot_seconds", "Time that the last snapshot took to write.")
SNAPSHOT_FAILURES: Final = Counter("twin_vectorstore_snapshot_failures", "Snapshots that could not be written.")
SNAPSHOTS_DAMAGED: Final = Counter("twin_vectorstore_snapshots_damaged", "Snapshots that were damaged, and set aside.")
LOAD_SECONDS: Final = Gauge("twin_vectorstore_load_seconds", "Time that the start took to fill the index.")
STARTED_FROM_SNAPSHOT: Final = Gauge(
    "twin_vectorstore_started_from_snapshot", "1 when the start used a snapshot, 0 when it read all from PostgreSQL."
)
