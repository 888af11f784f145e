"""What the rows of a list of activities become."""

DEAL = "1,2026-01-01T09:00Z,ann,created,,First\n"


def test_an_activity_is_known_when_it_has_ended(importing):
    importing.rows(DEAL)
    summary = importing.rows("1,2026-01-05T09:00Z,ann,Call,90,talked about pumps\n", "activities")

    recorded = importing.recorded()[-1]
    assert (recorded.event.kind, recorded.event.by, recorded.event.duration_us) == (
        "outbound_call",
        "ann",
        5_400_000_000,
    )
    assert recorded.meta.occurred_at.isoformat() == "2026-01-05T09:00:00+00:00"
    assert recorded.meta.source_recorded_at.isoformat() == "2026-01-05T10:30:00+00:00"
    assert (summary.rows, summary.events, summary.exit_code) == (1, 1, 0)
    assert (
        b"pumps"
        not in importing.log.run(
            lambda conn: conn.execute("SELECT string_agg(state, '') FROM dealtrace.events").fetchone()
        )[0]
    )


def test_activities_may_come_in_any_order_and_precede_the_deals_last_change(importing):
    importing.rows(DEAL + "1,2026-02-01T09:00Z,ann,Stage,First,Won\n")
    summary = importing.rows("1,2026-01-09T09:00Z,,visit,,\n1,2026-01-05T09:00Z,,visit,,\n", "activities")

    assert (summary.events, summary.bad) == (2, 0)


def test_identical_activities_are_all_kept_and_a_repetition_adds_none(importing):
    importing.rows(DEAL)
    rows = "1,2026-01-05T09:00Z,ann,Call,1,\n" * 3

    assert importing.rows(rows, "activities").events == 3
    again = importing.rows(rows + "1,2026-01-05T09:00Z,ann,Call,1,\n", "activities")
    assert (again.events, again.already_there) == (1, 3)


BAD = [
    ("9,2026-01-05T09:00Z,ann,Call,1,\n", "unknown-deal"),
    ("1,2026-01-05T09:00Z,ann,Fax Sent,1,\n", "unknown-kind"),
    ("1,2026-01-05T09:00Z,ann,Call,-1,\n", "invalid-duration"),
    ("1,2026-01-05T09:00Z,ann,Call,NaN,\n", "invalid-duration"),
    ("1,2026-01-05T09:00Z,ann,Call,1e99,\n", "invalid-duration"),
    ("1,2026-01-05T09:00Z,ann,Call,long,\n", "invalid-duration"),
    ("1,yesterday,ann,Call,1,\n", "unreadable-time"),
    ("1,2150-01-05T09:00Z,ann,Call,1,\n", "in-the-future"),
]


def test_each_bad_activity_is_named_by_its_line_and_the_rest_is_imported(importing):
    importing.rows(DEAL)
    good = [f"1,2026-01-0{day}T09:00Z,ann,Call,1,\n" for day in (6, 7)]

    summary = importing.rows(good[0] + "".join(row for row, _ in BAD) + good[1], "activities")

    assert importing.reported() == [(line, "error", code) for line, (_, code) in enumerate(BAD, start=3)]
    assert (summary.events, summary.bad, summary.exit_code) == (2, len(BAD), 1)
