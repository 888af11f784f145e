-- Recalibrations that somebody asked for. Servers run them, one at a time; the record that a job makes gets its id.
CREATE TABLE dealtrace.recalibration_jobs (
    id         uuid        PRIMARY KEY,
    funnel     text        NOT NULL,
    until      timestamptz NOT NULL,
    period     text,
    seed       bigint      NOT NULL,
    replicates int         NOT NULL,
    asked_by   text        NOT NULL,
    asked_as   text        NOT NULL,
    asked_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    state      text        NOT NULL DEFAULT 'queued'
               CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    change     bigint      NOT NULL DEFAULT 1,  -- grows with whatever is told about the job
    attempt    int         NOT NULL DEFAULT 0,  -- how often it was begun
    crashes    int         NOT NULL DEFAULT 0,  -- how often its process ended without a word
    phase      text        NOT NULL DEFAULT 'Waiting for its turn',
    progress   real        NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 1),
    began_at   timestamptz,
    ended_at   timestamptz,
    reason     text
);
CREATE INDEX recalibration_jobs_open ON dealtrace.recalibration_jobs (id) WHERE state IN ('queued', 'running');

GRANT SELECT, INSERT ON dealtrace.recalibration_jobs TO dealtrace_app;
GRANT UPDATE (state, change, attempt, crashes, phase, progress, began_at, ended_at, reason)
    ON dealtrace.recalibration_jobs TO dealtrace_app;
