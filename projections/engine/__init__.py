"""The one engine of all projections: batches into tables, rebuilds, replays, digests, status."""
