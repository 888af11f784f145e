-- The key that the digests of remembered requests are made with: a request may hold personal text, and nobody who sees
-- the digests alone may try out what it said.
CREATE TABLE dealtrace.secrets (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    command_key bytea   NOT NULL CHECK (length(command_key) = 32)
);
-- 366 random bits of the server's strong source, made into 32 bytes.
INSERT INTO dealtrace.secrets (command_key) VALUES (sha256(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
));
GRANT SELECT ON dealtrace.secrets TO dealtrace_app;

-- What was remembered without a key before; see `infra.event_store`.
UPDATE dealtrace.command_results SET request_digest = sha256(s.command_key || request_digest) FROM dealtrace.secrets s;
