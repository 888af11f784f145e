-- Releases side by side: a version of a projection fills its tables while another one serves, then one switch.

-- building: being filled; ready: follows the log, answers nobody; live: answers; retired: its tables are gone.
ALTER TABLE projection.checkpoints DROP CONSTRAINT checkpoints_state_check;
ALTER TABLE projection.checkpoints ADD CONSTRAINT checkpoints_state_check
    CHECK (state IN ('building', 'ready', 'live', 'retired'));

-- The tables of each version, by the names that its release gave them, so that any other release can drop them.
CREATE TABLE projection.versions (
    projection text   NOT NULL,
    version    int    NOT NULL,
    tables     text[] NOT NULL,
    PRIMARY KEY (projection, version)
);

-- Which version was let answer, taken back or retired, and for what reason despite which findings.
CREATE TABLE projection.switches (
    number       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    what         text        NOT NULL CHECK (what IN ('switch', 'rollback', 'retire')),
    projection   text        NOT NULL,
    from_version int,
    to_version   int,
    position     bigint      NOT NULL,
    reason       text,
    findings     text[]      NOT NULL DEFAULT '{}'
);

-- Whether a generation is the one that answers, in the snapshot of whoever asks; every view of a projection asks it
-- once. A snapshot taken before a switch would miss the newest rows of the tables that the view names after it.
CREATE FUNCTION projection.answers(wanted text, its_version int, its_generation int) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF EXISTS (SELECT FROM projection.checkpoints c
               WHERE (c.projection, c.version, c.generation) = (wanted, its_version, its_generation)
                 AND c.state = 'live') THEN
        RETURN true;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
        MESSAGE = format('the tables %s v%s g%s do not answer in this snapshot', wanted, its_version, its_generation);
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON projection.versions TO dealtrace_app;
GRANT SELECT, INSERT ON projection.switches TO dealtrace_app;
