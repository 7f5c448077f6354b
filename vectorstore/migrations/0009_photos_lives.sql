-- When the deleted photo had been added: with the id, what the journal of deletions knows it by. Null for older deletions.
ALTER TABLE deletions ADD COLUMN photo_create_time timestamptz;
