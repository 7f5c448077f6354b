-- What happened: the change log that indexes follow, the deletions with their outbox, and the audit log.

CREATE SEQUENCE revisions AS bigint;

-- Written in the transaction of the change itself, by one writer at a time (an advisory lock held to the commit).
CREATE TABLE changes (
    revision bigint PRIMARY KEY,
    -- 'create_gallery', 'drop_gallery', 'add_photo', 'delete_photo'
    kind text NOT NULL,
    gallery_id bigint NOT NULL,
    photo_id uuid,
    face_ids bigint[] NOT NULL DEFAULT '{}',
    change_time timestamptz NOT NULL DEFAULT now()
);

-- One row for each deletion, not for each photo: an id that was deleted may be added anew and deleted again.
CREATE TABLE deletions (
    deletion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    photo_id uuid,
    deletion_token_sha256 bytea,
    source_store text,
    source_key text,
    face_count integer,
    revision bigint,
    original_removed boolean DEFAULT false,
    delete_time timestamptz DEFAULT now()
);
CREATE INDEX deletions_by_photo ON deletions (photo_id, deletion_id);
CREATE INDEX deletions_pending ON deletions (deletion_id) WHERE NOT original_removed;

CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    audit_time timestamptz NOT NULL DEFAULT now(),
    action text NOT NULL,
    gallery text NOT NULL DEFAULT '',
    photo_id uuid,
    revision bigint,
    request_id text NOT NULL DEFAULT ''
);
