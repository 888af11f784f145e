-- What recalibrations found: evidence that is added and never changed, named by the rate sets adopted from it.
CREATE TABLE dealtrace.recalibration_records (
    id         uuid        PRIMARY KEY,
    digest     text        NOT NULL,
    funnel     text        NOT NULL,
    until      timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body       text        NOT NULL
);
GRANT SELECT, INSERT ON dealtrace.recalibration_records TO dealtrace_app;
