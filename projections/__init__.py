"""Read models: one file per projection, and the one engine that folds them all."""
