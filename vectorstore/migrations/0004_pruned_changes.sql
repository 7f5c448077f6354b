-- The change log is pruned of old rows. Up to here, inclusive, rows may be gone; whoever has applied less begins anew.
ALTER TABLE store ADD COLUMN pruned_revision bigint NOT NULL DEFAULT 0;
