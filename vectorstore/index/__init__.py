"""What finds the nearest vectors: one interface, and the kinds behind it."""
