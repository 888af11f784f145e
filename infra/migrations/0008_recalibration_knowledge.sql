-- By whose word a recalibration that was asked for takes things as known: their source's, or this log's alone.
ALTER TABLE dealtrace.recalibration_jobs ADD COLUMN knowledge text NOT NULL DEFAULT 'source'
    CHECK (knowledge IN ('source', 'witnessed'));
