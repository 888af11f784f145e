"""What the rows of a field history become."""

from datetime import date
from decimal import Decimal

from infra.ids import imported_id
from infra.vault import read_texts


def test_each_row_becomes_the_event_of_its_change(importing):
    summary = importing.rows(
        "1,2026-01-01T09:00Z,ann,created,,First\n"
        "1,2026-01-02T09:00Z,ann,Stage,First,Third\n"
        "1,2026-01-03T09:00Z,bob,Amount,,1200.50\n"
        "1,2026-01-04T09:00Z,bob,Close,,2026-03-31\n"
        "1,2026-01-05T09:00Z,bob,Owner,,bob\n"
        "1,2026-01-06T09:00Z,bob,Stage,Third,Second\n"
        "1,2026-01-07T09:00Z,bob,Stage,Second,Lost\n"
        "1,2026-01-08T09:00Z,bob,Stage,Lost,Third\n"
        "1,2026-01-09T09:00Z,bob,Stage,Third,Won\n"
    )

    assert [topic for topic, _ in importing.events("1")] == [
        "deal.opened",
        "deal.stage_advanced",
        "deal.amount_revised",
        "deal.expected_close_revised",
        "deal.owner_revised",
        "deal.stage_regressed",
        "deal.lost",
        "deal.reopened",
        "deal.won",
    ]
    deal = importing.deal("1")
    assert (deal.status, deal.stage, deal.owner) == ("won", "third", "bob")
    assert (deal.amount.amount, deal.expected_close) == (Decimal("1200.5"), date(2026, 3, 31))
    assert (summary.rows, summary.events, summary.opened, summary.deals) == (9, 9, 1, 1)
    assert (summary.exit_code, importing.problems) == (0, [])


def test_an_event_says_when_the_source_knew_it_and_for_whom_the_importer_acts(importing):
    importing.rows("1,2026-01-01T09:00+01:00,ann,created,,First\n")

    meta = importing.recorded()[-1].meta
    assert meta.origin == "import"
    assert meta.occurred_at == meta.source_recorded_at
    assert meta.occurred_at.isoformat() == "2026-01-01T08:00:00+00:00"
    assert (meta.actor.auth, meta.actor.on_behalf_of) == ("cli", "ann")


def test_rows_of_the_moment_of_creation_tell_what_the_deal_was_opened_with(importing):
    summary = importing.rows(
        "1,2026-01-01T09:00Z,ann,Region,,north\n"
        "1,2026-01-01T09:00Z,ann,created,,Second\n"
        "1,2026-01-01T09:00Z,ann,Amount,,500\n"
        "1,2026-01-01T09:00Z,ann,Account,,acme\n"
        "1,2026-01-01T09:00Z,ann,Name,,Pumps\n"
    )

    (opened,) = (r.event for r in importing.recorded() if r.topic == "deal.opened")
    assert (opened.stage, opened.region, opened.amount.amount) == ("second", "north", Decimal(500))
    assert opened.account_id is not None
    assert (opened.external.source, opened.external.id) == ("crm", "1")
    texts = importing.log.run(lambda conn: read_texts(conn, [opened.name.id]))
    assert list(texts.values()) == ["Pumps"]
    assert (summary.rows, summary.events, importing.count("import_ledger")) == (5, 2, 5)  # the account, too


def test_an_account_is_opened_once_with_what_the_source_calls_it(importing):
    def deal(n: int, account: str) -> str:
        at = f"{n},2026-01-0{n}T09:00Z,"
        return f"{at},created,,First\n{at},Account,,{account}\n"

    importing.rows(deal(1, "acme") + deal(2, "acme"))
    importing.rows(deal(3, "acme") + deal(4, "other"))

    opened = [r for r in importing.recorded() if r.topic == "account.opened"]
    assert [(r.stream_id, r.event.external.source, r.event.external.id) for r in opened] == [
        (imported_id("account", "crm", "acme"), "crm", "acme"),
        (imported_id("account", "crm", "other"), "crm", "other"),
    ]
    assert [r.meta.occurred_at.day for r in opened] == [1, 4]


def test_deals_of_one_account_have_the_same_account_id(importing):
    importing.rows(
        "1,2026-01-01T09:00Z,,created,,First\n1,2026-01-01T09:00Z,,Account,,acme\n"
        "2,2026-01-01T09:00Z,,created,,First\n2,2026-01-01T09:00Z,,Account,,acme\n"
        "3,2026-01-01T09:00Z,,created,,First\n3,2026-01-01T09:00Z,,Account,,other\n"
    )

    accounts = [r.event.account_id for r in importing.recorded() if r.topic == "deal.opened"]
    assert accounts[0] == accounts[1] != accounts[2]


def test_a_deal_without_a_created_row_is_opened_where_its_first_row_found_it(importing):
    importing.rows("1,2026-01-01T09:00Z,ann,Stage,Second,Third\n2,2026-01-01T10:00Z,ann,Amount,10,20\n")

    assert importing.events("1") == [("deal.opened", "01-01 09:00"), ("deal.stage_advanced", "01-01 09:00")]
    assert importing.deal("2").stage == "first"
    assert importing.deal("2").amount.amount == 20
    assert importing.reported() == [(2, "warning", "no-created-row"), (3, "warning", "no-created-row")]


def test_looking_ahead_finds_what_the_created_row_does_not_tell(importing, mapping_text):
    importing.rows(
        "1,2026-01-01T09:00Z,ann,created,,\n"
        "1,2026-01-05T09:00Z,ann,Stage,Second,Third\n"
        "1,2026-01-06T09:00Z,ann,Amount,700,800\n"
        "1,2026-01-07T09:00Z,ann,Owner,,bob\n",
        mapping=mapping_text.replace("[history]\n", '[history]\nopening = "look_ahead"\n'),
    )

    (opened,) = (r.event for r in importing.recorded() if r.topic == "deal.opened")
    assert (opened.stage, opened.amount.amount, opened.owner) == ("second", 700, None)
    assert importing.problems == []


def test_a_deal_created_closed_is_opened_and_closed(importing):
    importing.rows("1,2026-01-01T09:00Z,ann,created,,Won\n")

    assert [topic for topic, _ in importing.events("1")] == ["deal.opened", "deal.won"]


def test_from_one_outcome_to_another_a_deal_is_open_for_no_time(importing):
    importing.rows(
        "1,2026-01-01T09:00Z,ann,created,,Second\n"
        "1,2026-01-02T09:00Z,ann,Stage,Second,Lost\n"
        "1,2026-01-03T09:00Z,ann,Stage,Lost,Won\n"
    )

    assert importing.events("1")[2:] == [("deal.reopened", "01-03 09:00"), ("deal.won", "01-03 09:00")]
    assert importing.deal("1").stage == "second"


def test_an_old_value_that_disagrees_with_the_log_is_a_warning_and_the_row_is_taken(importing):
    summary = importing.rows(
        "1,2026-01-01T09:00Z,ann,created,,First\n"
        "1,2026-01-02T09:00Z,ann,Stage,Second,Third\n"
        "1,2026-01-03T09:00Z,ann,Amount,99,100\n"
    )

    assert importing.reported() == [(3, "warning", "old-value-differs"), (4, "warning", "old-value-differs")]
    assert (summary.warnings, summary.bad, summary.exit_code) == (2, 0, 0)
    assert importing.deal("1").stage == "third"


def test_the_funnel_and_the_currency_are_there_before_the_first_row(importing):
    importing.rows("1,2026-01-01T09:00Z,ann,created,,First\n")

    assert [r.topic for r in importing.recorded()] == [
        "playbook.currency_set",
        "playbook.funnel_defined",
        "deal.opened",
    ]


def test_rows_of_one_deal_need_not_lie_together_nor_deals_in_order_of_time(importing):
    summary = importing.rows(
        "2,2026-01-05T09:00Z,ann,created,,First\n"
        "1,2026-01-01T09:00Z,ann,created,,First\n"
        "2,2026-01-06T09:00Z,ann,Stage,First,Second\n"
        "1,2026-01-02T09:00Z,ann,Stage,First,Third\n"
    )

    assert (summary.bad, importing.deal("1").stage, importing.deal("2").stage) == (0, "third", "second")
