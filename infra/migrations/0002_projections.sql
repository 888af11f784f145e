-- What the projection engine keeps about itself. The projections' own tables are made by the engine, not here.

-- How far each projection has come. Every position up to `position` was applied, ignored (a topic it does not
-- handle), parked, or belongs elsewhere (to another slice): nothing is ever skipped.
CREATE TABLE projection.checkpoints (
    projection text        NOT NULL,
    version    int         NOT NULL,
    generation int         NOT NULL,
    slice      int         NOT NULL,
    slices     int         NOT NULL,
    position   bigint      NOT NULL DEFAULT 0,
    applied    bigint      NOT NULL DEFAULT 0,
    ignored    bigint      NOT NULL DEFAULT 0,
    parked     bigint      NOT NULL DEFAULT 0,
    elsewhere  bigint      NOT NULL DEFAULT 0,
    log_id     uuid        NOT NULL,
    epoch      int         NOT NULL,
    state      text        NOT NULL CHECK (state IN ('building', 'live', 'retired')),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version, generation, slice),
    CHECK (0 <= slice AND slice < slices),
    CHECK (applied + ignored + parked + elsewhere = position)
) WITH (fillfactor = 50);

-- Events that wait because their fold failed, or an earlier one of the same partition key did.
CREATE TABLE projection.parked (
    projection     text        NOT NULL,
    version        int         NOT NULL,
    generation     int         NOT NULL,
    partition_key  uuid        NOT NULL,
    position       bigint      NOT NULL,
    stream_id      uuid        NOT NULL,
    stream_version bigint      NOT NULL,
    error          text,
    parked_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version, generation, partition_key, position)
);

-- Rebuilds under way, and their ranges of partition keys: a range is done once its counts are there.
CREATE TABLE projection.rebuilds (
    id         uuid        PRIMARY KEY,
    position   bigint      NOT NULL,
    log_id     uuid        NOT NULL,
    epoch      int         NOT NULL,
    targets    json        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE projection.rebuild_ranges (
    rebuild   uuid   NOT NULL REFERENCES projection.rebuilds ON DELETE CASCADE,
    number    int    NOT NULL,
    first_key uuid   NOT NULL,
    last_key  uuid   NOT NULL,
    events    bigint NOT NULL,
    counts    json,
    PRIMARY KEY (rebuild, number)
);

GRANT SELECT, INSERT, UPDATE, DELETE
    ON projection.checkpoints, projection.parked, projection.rebuilds, projection.rebuild_ranges
    TO dealtrace_app;
