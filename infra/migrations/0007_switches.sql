-- What was switched to, taken back and retired can not be made again from the log, so it lies beside the log, and backups
-- have it. `restored`: a version answers since a restore, whatever was switched to before.
ALTER TABLE projection.switches SET SCHEMA dealtrace;
ALTER TABLE dealtrace.switches DROP CONSTRAINT switches_what_check;
ALTER TABLE dealtrace.switches ADD CONSTRAINT switches_what_check
    CHECK (what IN ('switch', 'rollback', 'retire', 'restored'));
