"""The longer statements of the import ledger. $1 is the import, $2 the run, unless a statement says otherwise."""

from typing import Final

# Not so an import that was cut off, unless its gallery was made anew since: what was done is gone with the former one.
_BEGINS_ANEW: Final = "(i.is_finished OR i.gallery_made IS DISTINCT FROM $6)"
# $1 gallery, $2 store, $3 folder, $4 collection, $5 all faces, $6 when the gallery was made.
BEGIN: Final = f"""
    INSERT INTO imports AS i (gallery, store, folder, collection, all_faces, run, is_walked, is_finished, seen_count,
        added_count, unchanged_count, failed_count, gallery_made)
    VALUES ($1, $2, $3, $4, $5, 1, false, false, 0, 0, 0, 0, $6)
    ON CONFLICT (gallery, store, folder) DO UPDATE SET
        collection = $4,
        all_faces = $5,
        run = i.run + {_BEGINS_ANEW}::integer,
        is_walked = i.is_walked AND NOT {_BEGINS_ANEW},
        seen_count = CASE WHEN {_BEGINS_ANEW} THEN 0 ELSE i.seen_count END,
        added_count = CASE WHEN {_BEGINS_ANEW} THEN 0 ELSE i.added_count END,
        unchanged_count = CASE WHEN {_BEGINS_ANEW} THEN 0 ELSE i.unchanged_count END,
        failed_count = CASE WHEN {_BEGINS_ANEW} THEN 0 ELSE i.failed_count END,
        change_token = CASE
            WHEN i.gallery_made IS DISTINCT FROM $6 THEN NULL
            WHEN i.is_finished THEN i.next_change_token
            ELSE i.change_token END,
        gallery_made = $6,
        is_finished = false
    RETURNING import_id, run, change_token
"""  # noqa: S608
LOCK: Final = "SELECT failed_count FROM imports WHERE import_id = $1 AND run = $2 AND NOT is_finished FOR UPDATE"
# What the same content became stays known; everything else is as of this run.
LIST: Final = """
    INSERT INTO import_files AS f (import_id, key, path, fingerprint, size_bytes, person, collection, run, page,
        attempt_count)
    SELECT $1, key, path, fingerprint, size_bytes, person, collection, $2, $3, 0
    FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[])
        AS t (key, path, fingerprint, size_bytes, person, collection)
    ON CONFLICT (import_id, key) DO UPDATE SET
        path = EXCLUDED.path, size_bytes = EXCLUDED.size_bytes, person = EXCLUDED.person,
        collection = EXCLUDED.collection, run = $2, page = $3, attempt_count = 0, outcome = NULL,
        failure_number = NULL, error = NULL, enrolling_run = NULL, fingerprint = EXCLUDED.fingerprint,
        photo_id = CASE WHEN f.fingerprint = EXCLUDED.fingerprint THEN f.photo_id END
        WHERE f.run < $2
    RETURNING key
"""
OPEN: Final = """
    SELECT key, path, fingerprint, size_bytes, person, collection, photo_id, enrolling_run, attempt_count
    FROM import_files WHERE import_id = $1 AND run = $2 AND page = $3 AND outcome IS NULL ORDER BY key
"""
# Who is in a photo is known from then on by its photo alone, and goes with that.
SETTLE: Final = """
    UPDATE import_files f
    SET outcome = t.outcome, photo_id = coalesce(t.photo_id, f.photo_id), error = t.error,
        failure_number = t.failure_number, person = CASE WHEN t.outcome = 'failed' THEN f.person END,
        collection = CASE WHEN t.outcome = 'failed' THEN f.collection END
    FROM unnest($3::text[], $4::text[], $5::uuid[], $6::bytea[], $7::bigint[])
        AS t (key, outcome, photo_id, error, failure_number)
    WHERE f.import_id = $1 AND f.run = $2 AND f.key = t.key
"""
FAILED_BEFORE: Final = """
    SELECT key, path, fingerprint, size_bytes, person, collection
    FROM import_files WHERE import_id = $1 AND run < $2 AND outcome = 'failed' LIMIT $3
"""
# What did not change was not looked at, and counts as seen once.
END_WALK: Final = """
    WITH untouched AS (
        SELECT count(*) AS count FROM imports JOIN import_files f USING (import_id)
        WHERE import_id = $1 AND NOT is_walked AND change_token IS NOT NULL AND f.run < $2
    )
    UPDATE imports SET is_walked = true, next_change_token = $3, seen_count = seen_count + untouched.count,
        unchanged_count = unchanged_count + untouched.count
    FROM untouched WHERE import_id = $1
"""
FINISH: Final = """
    UPDATE imports SET is_finished = true
    WHERE import_id = $1 AND run = $2 AND is_walked AND seen_count = added_count + unchanged_count + failed_count
    RETURNING change_token
"""
