-- What imports keep beside their jobs. The gateway makes these tables itself, at its first import; it needs no rights but
-- to create tables in its schema.
--
-- No CHECK and no NOT NULL stands on a table that holds file names: PostgreSQL writes the whole row into its log when one
-- fails.

CREATE TABLE IF NOT EXISTS imports (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gallery text,
    store text,
    folder text,
    collection text,
    all_faces boolean,
    -- Counted up by each import of the folder that begins anew; one that goes on keeps it.
    run integer,
    is_walked boolean,
    is_finished boolean,
    seen_count bigint,
    added_count bigint,
    unchanged_count bigint,
    failed_count bigint,
    -- From where the store's changes are followed by the run after this one; taken before the walk.
    next_change_token text,
    -- From where this run follows them; null: every file is looked at.
    change_token text,
    -- When the gallery was made: into one that was made anew, every file is imported again.
    gallery_made double precision,
    UNIQUE (gallery, store, folder)
);

CREATE TABLE IF NOT EXISTS import_files (
    import_id bigint,
    -- The store's own key, and the path that people know the file by.
    key text,
    path text,
    -- Tells the same content without reading it: an MD5, or a place with size and time.
    fingerprint text,
    size_bytes bigint,
    person text,
    collection text,
    run integer,
    page uuid,
    attempt_count integer,
    -- What this content became, or is about to become in that run.
    photo_id uuid,
    enrolling_run integer,
    -- 'added', 'unchanged', 'failed'; null while it is under way.
    outcome text,
    -- Counts the failures of a run, from 1, in the order in which they were committed.
    failure_number bigint,
    -- A google.rpc.Status.
    error bytea,
    PRIMARY KEY (import_id, key)
);
CREATE INDEX IF NOT EXISTS import_files_open ON import_files (import_id, run, page) WHERE outcome IS NULL;
CREATE INDEX IF NOT EXISTS import_files_failed ON import_files (import_id, run, failure_number)
    WHERE failure_number IS NOT NULL;
CREATE INDEX IF NOT EXISTS import_files_by_content ON import_files (fingerprint) WHERE photo_id IS NOT NULL;

-- The files of a folder that say something of its photos.
CREATE TABLE IF NOT EXISTS import_metadata (
    import_id bigint,
    key text,
    path text,
    PRIMARY KEY (import_id, key)
);
