-- What is searched: galleries of photos with their faces.
--
-- No CHECK and no NOT NULL stands on a table that holds embeddings, tokens or file names: PostgreSQL writes the whole
-- row into its log when one fails. The service checks every value before it gets here.

CREATE TABLE store (
    -- Names this database, so that a snapshot of another one is never loaded.
    store_id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO store DEFAULT VALUES;

CREATE TABLE galleries (
    gallery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    model_id text NOT NULL,
    dimension integer NOT NULL,
    same_person_similarity double precision NOT NULL,
    duplicate_similarity double precision NOT NULL,
    percent_slope double precision NOT NULL,
    percent_midpoint double precision NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE photos (
    photo_id uuid PRIMARY KEY,
    gallery_id bigint REFERENCES galleries,
    -- The change that added it; also the order in which photos are listed.
    revision bigint,
    source_store text,
    source_key text,
    sha256 bytea,
    width integer,
    height integer,
    collection text,
    original_filename text,
    person text,
    policy_version text,
    consent_grant_time timestamptz,
    consent_time_to_live interval,
    has_consent boolean,
    -- When the consent runs out; null: kept until withdrawn.
    expire_time timestamptz,
    -- SHA-256 of the deletion token; empty when the photo was added without one.
    deletion_token_sha256 bytea,
    create_time timestamptz DEFAULT now(),
    UNIQUE (gallery_id, sha256)
);
CREATE UNIQUE INDEX photos_by_revision ON photos (gallery_id, revision);
CREATE INDEX photos_by_source ON photos (source_store, source_key);
CREATE INDEX photos_by_expiry ON photos (expire_time) WHERE expire_time IS NOT NULL;

-- Given out under the change log's lock, so that ids rise in the order of commits.
CREATE SEQUENCE face_ids AS bigint;

CREATE TABLE faces (
    face_id bigint PRIMARY KEY,
    photo_id uuid REFERENCES photos ON DELETE CASCADE,
    gallery_id bigint,
    face_index integer,
    -- left, top, width, height: pixels of the upright image.
    box real[],
    -- Five points as x, y pairs.
    landmarks real[],
    detection_score real,
    -- score, sharpness, brightness, yaw, roll, size.
    quality real[],
    quality_issues smallint[],
    is_primary boolean,
    person text,
    -- Untyped, since each gallery has its own dimension.
    embedding vector
);
-- Kept in the row: 2 kB would go to a side table, which halves the reading speed.
ALTER TABLE faces ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX faces_by_photo ON faces (photo_id);
CREATE INDEX faces_by_gallery ON faces (gallery_id, face_id);
