"""Long-running processes: projector, publisher, consumer, notary."""
