-- An embedding of 512 numbers alone is larger than PostgreSQL wants a row to be, and since it may not leave its row, the
-- few numbers of the box, the landmarks and the quality went to the side table in its stead: up to three rows more for
-- each face, and a third of the time that adding one took. 8160 bytes is the most that a row can have.
ALTER TABLE faces SET (toast_tuple_target = 8160);
