-- Originals that are about to be stored: what was put into its store, and whose photo never came, is found by them.
CREATE TABLE reserved_originals (
    reservation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    photo_id uuid,
    source_store text,
    source_key text,
    reserve_time timestamptz DEFAULT now(),
    UNIQUE (source_store, source_key)
);
