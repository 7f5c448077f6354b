-- Photos of a database that is older than its change log have revisions which the log's sequence would give out again.
SELECT setval('revisions', max(revision)) FROM photos HAVING max(revision) >= (SELECT last_value FROM revisions);
