"""What lies beside the log and fits it: results of commands, the import ledger, recalibrations and rate sets."""

from typing import Any

from psycopg import Connection

from domain import playbook
from infra.event_store import Head

_LEDGER = """
SELECT format('the import ledger has %%s rows beyond the head of the log, of %%s', count(*), min(source))
FROM dealtrace.import_ledger WHERE position > %(head)s HAVING count(*) > 0"""
_RESULTS = """
SELECT format('%%s results of commands are remembered that name positions beyond the head of the log', count(*))
FROM dealtrace.command_results
WHERE get_byte(result, 0) = ascii('{') AND (convert_from(result, 'UTF8')::json ->> 'position')::bigint > %(head)s
HAVING count(*) > 0"""
_JOBS = """
SELECT format('the recalibration %%s is done, and its record is not there', j.id)
FROM dealtrace.recalibration_jobs j
WHERE j.state = 'done' AND NOT EXISTS (SELECT FROM dealtrace.recalibration_records r WHERE r.id = j.id)
ORDER BY j.id LIMIT %(shown)s"""
_EVIDENCE = """
SELECT CASE WHEN r.id IS NULL
       THEN format('position %%s: the record %%s, from which a rate set was adopted, is not there', e.position, e.record)
       ELSE format('position %%s: a rate set was adopted from the digest %%s of the record %%s, whose digest is %%s',
                   e.position, e.digest, e.record, r.digest) END
FROM (SELECT notification_id AS position, (evidence ->> 'record')::uuid AS record, evidence ->> 'digest' AS digest
      FROM dealtrace.events, LATERAL (SELECT convert_from(state, 'UTF8')::json -> 'data' -> 'evidence') AS data(evidence)
      WHERE originator_id = %(playbook)s AND topic = 'playbook.rate_set_adopted'
        AND json_typeof(evidence) = 'object') e
LEFT JOIN dealtrace.recalibration_records r ON r.id = e.record
WHERE r.id IS NULL OR r.digest <> e.digest
ORDER BY e.position LIMIT %(shown)s"""


def beside(conn: Connection[Any], head: Head, shown: int) -> list[str]:
    """What does not fit the log, of each kind at most so many sentences. To be called in one snapshot."""
    asked = {"head": head.position, "shown": shown, "playbook": playbook.STREAM_ID}
    return [
        str(sentence)
        for query in (_LEDGER, _RESULTS, _JOBS, _EVIDENCE)
        for (sentence,) in conn.execute(query, asked).fetchall()
    ]
