-- The audit log as a chain: for the entries of each statement a link, over their content and the link before it. Whoever
-- writes entries holds the change log's turn, so that there is one order.
ALTER TABLE audit_log ADD COLUMN photo_count bigint;

CREATE TABLE audit_links (
    -- 1, 2, 3, ... without a gap, in the order of commits.
    link_id bigint PRIMARY KEY,
    -- The link stands for the entries after the last of the link before it, up to and with this one.
    last_audit_id bigint NOT NULL,
    entry_count bigint NOT NULL,
    sha256 bytea NOT NULL
);

-- Writes a link over the entries up to that id which have none yet; returns how many they are, and writes none for none.
--
-- It is the SHA-256 of: the hash of the link before (32 zero bytes for the first); link_id, entry_count and
-- last_audit_id, each as 64 bits, big-endian, as all numbers here; and of each entry, by ascending audit_id: audit_id; the
-- microseconds from 2000-01-01 UTC to audit_time; photo_id (zeros for none); revision and photo_count (-1 for none); the
-- lengths in bytes, as 32 bits, of action, gallery and request_id; and these as UTF-8.
CREATE FUNCTION seal_audit_log(last_id bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before audit_links;
    link audit_links;
    content bytea;
BEGIN
    -- The change log's turn, for whoever did not take it.
    PERFORM pg_advisory_xact_lock(128056218746882);
    SELECT * INTO before FROM audit_links ORDER BY link_id DESC LIMIT 1;
    IF NOT FOUND THEN
        before := (0, 0, 0, decode(repeat('00', 32), 'hex'));
    END IF;
    link.link_id := before.link_id + 1;
    SELECT count(*), max(audit_id), string_agg(
        int8send(audit_id) || timestamptz_send(audit_time)
            || uuid_send(coalesce(photo_id, '00000000-0000-0000-0000-000000000000'))
            || int8send(coalesce(revision, -1)) || int8send(coalesce(photo_count, -1))
            || int4send(octet_length(action)) || int4send(octet_length(gallery)) || int4send(octet_length(request_id))
            || textsend(action) || textsend(gallery) || textsend(request_id),
        '' ORDER BY audit_id
    )
    INTO link.entry_count, link.last_audit_id, content
    FROM audit_log WHERE audit_id > before.last_audit_id AND audit_id <= last_id;
    IF link.entry_count > 0 THEN
        link.sha256 := sha256(
            before.sha256 || int8send(link.link_id) || int8send(link.entry_count) || int8send(link.last_audit_id)
            || content
        );
        INSERT INTO audit_links VALUES (link.*);
    END IF;
    RETURN link.entry_count;
END
$$;

CREATE FUNCTION chain_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM seal_audit_log(9223372036854775807);
    RETURN NULL;
END
$$;

-- What is there already, some at a time: all at once could be more than one value may hold.
LOCK TABLE audit_log IN SHARE ROW EXCLUSIVE MODE;
DO $$
DECLARE
    last_id bigint;
BEGIN
    FOR last_id IN SELECT audit_id FROM (
        SELECT audit_id, row_number() OVER (ORDER BY audit_id) AS place, count(*) OVER () AS total FROM audit_log
    ) AS numbered WHERE place % 1000 = 0 OR place = total ORDER BY audit_id LOOP
        PERFORM seal_audit_log(last_id);
    END LOOP;
END
$$;

CREATE TRIGGER audit_log_is_chained AFTER INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION chain_audit_log();
