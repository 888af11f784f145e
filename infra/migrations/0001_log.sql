-- The log: one row per event, never updated, never deleted. The library's columns, and recorded_at.
CREATE TABLE dealtrace.events (
    originator_id      uuid        NOT NULL,
    originator_version bigint      NOT NULL CHECK (originator_version > 0),
    topic              text        NOT NULL,
    state              bytea       NOT NULL,
    notification_id    bigint      NOT NULL CHECK (notification_id > 0),
    recorded_at        timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE dealtrace.events ALTER COLUMN state SET STORAGE EXTERNAL;  -- the bytes as they are, uncompressed
CREATE UNIQUE INDEX events_notification_id ON dealtrace.events (notification_id);

-- The one row that serialises appends. `epoch` counts restores of this log.
CREATE TABLE dealtrace.log_head (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id      uuid        NOT NULL,
    epoch       int         NOT NULL,
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO dealtrace.log_head (log_id, epoch, position, recorded_at)
VALUES (gen_random_uuid(), 1, 0, clock_timestamp());

-- When each epoch began: its events stand after this position. A restored backup adds one.
CREATE TABLE dealtrace.epochs (
    epoch          int         PRIMARY KEY,
    after_position bigint      NOT NULL,
    began_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO dealtrace.epochs (epoch, after_position) VALUES (1, 0);

-- What became of each command, so that a retry gets the first answer. Kept 30 days.
CREATE TABLE dealtrace.command_results (
    actor_id       text        NOT NULL,
    command_id     text        NOT NULL,
    request_digest bytea       NOT NULL,
    result         bytea       NOT NULL,
    recorded_at    timestamptz NOT NULL,
    PRIMARY KEY (actor_id, command_id)
);
CREATE INDEX command_results_recorded_at ON dealtrace.command_results (recorded_at);

-- Which rows of which source are in the log. Kept for ever.
CREATE TABLE dealtrace.import_ledger (
    row_key  uuid   PRIMARY KEY,
    source   text   NOT NULL,
    position bigint NOT NULL
);

-- Personal text. Erasing is deleting the row; events keep its id and salted hash.
CREATE TABLE dealtrace.vault (
    id         uuid        PRIMARY KEY,
    subject_id uuid        NOT NULL,
    salt       bytea       NOT NULL,
    text       text        NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX vault_subject_id ON dealtrace.vault (subject_id);

CREATE SCHEMA projection;

GRANT USAGE ON SCHEMA dealtrace TO dealtrace_app;
GRANT SELECT, INSERT ON dealtrace.events TO dealtrace_app;
GRANT SELECT ON dealtrace.log_head TO dealtrace_app;
GRANT SELECT ON dealtrace.epochs TO dealtrace_app;
GRANT UPDATE (position, recorded_at) ON dealtrace.log_head TO dealtrace_app;
GRANT SELECT, INSERT, DELETE ON dealtrace.command_results TO dealtrace_app;
GRANT SELECT, INSERT ON dealtrace.import_ledger TO dealtrace_app;
GRANT SELECT, INSERT, DELETE ON dealtrace.vault TO dealtrace_app;
GRANT SELECT ON dealtrace.migrations TO dealtrace_app;
GRANT USAGE, CREATE ON SCHEMA projection TO dealtrace_app;
