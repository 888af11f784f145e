"""Everything that touches the outside: PostgreSQL, the event store, settings, Kafka clients."""
