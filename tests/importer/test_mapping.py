"""The mapping: what is wrong with it is said by name, and how a file may be written."""

import gzip
from pathlib import Path

import pytest

from workers.importer import UnusableInput, load_mapping

EXAMPLES = Path(__file__).parents[2] / "examples"
OPENED = "1,2026-01-01T09:00Z,ann,created,,First\n"


@pytest.mark.parametrize(
    "mapping", sorted(EXAMPLES.glob("*/mapping.toml")), ids=lambda path: path.parent.name
)
def test_every_example_is_a_mapping(mapping):
    assert load_mapping(mapping).history is not None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (('Stage = "stage"', 'Stage = "stg"'), "history.fields.Stage: Input should be 'created', 'stage'"),
        (('Stage = "stage"', 'Stage = "owner"'), 'history: fields: one field must mean "stage"'),
        (
            ('Third = "third"', 'Third = "fourth"'),
            "history.stages.Third: 'fourth' is no stage of the funnel; accepted: first",
        ),
        (("Won = ", "Third = "), "Third: a value is either a stage or closed"),
        (('currency = "EUR"', 'currency = "EURO"'), "currency: "),
        (('currency = "EUR"', ""), "currency: is missing"),
        (('source = "crm"', 'source = "crm"\nsauce = 1'), "sauce: there is no such entry"),
        (
            ('macro_stage = "plan_confirmed"', 'macro_stage = "plan"'),
            "funnel.stages.1.macro_stage: Input should be",
        ),
        (("stall_after_days = 10", "stall_after_days = 0"), "funnel.stages.0.stall_after_days: "),
        (
            ("[funnel]", '[time]\nzone = "Mars/Base"\n[funnel]'),
            "time.zone: must be an IANA time zone such as Europe/Berlin",
        ),
        (
            ("[funnel]", '[time]\nformats = ["dd.mm.yyyy"]\n[funnel]'),
            'time.formats.0: must be "iso", "epoch_s"',
        ),
        (("[funnel]", '[file]\ndelimiter = "||"\n[funnel]'), "file.delimiter: must be one character"),
        (
            ("[funnel]", '[file]\nencoding = "klingon"\n[funnel]'),
            "file.encoding: must be the name of a text encoding",
        ),
        (("[funnel]", "[funnel"), "is not TOML"),
    ],
)
def test_a_wrong_mapping_names_the_entry_and_what_would_be_accepted(tmp_path, mapping_text, wrong, said):
    assert wrong[0] in mapping_text
    path = tmp_path / "mapping.toml"
    path.write_text(mapping_text.replace(*wrong), encoding="utf-8")

    with pytest.raises(UnusableInput) as refused:
        load_mapping(path)
    assert said in str(refused.value)


def test_a_missing_file_is_unusable(importing):
    with pytest.raises(UnusableInput, match="No such file"):
        importing.file(Path("nowhere.csv"))
    with pytest.raises(UnusableInput, match="No such file"):
        load_mapping(Path("nowhere.toml"))


@pytest.mark.parametrize(
    "content", ["", "deal,at,by,field,old\n", "deal,deal,at,by,field,old,new\n", b"\x1f\x8bnonsense"]
)
def test_a_file_without_the_columns_of_the_mapping_is_unusable_and_nothing_is_written(importing, content):
    with pytest.raises(UnusableInput):
        importing.file(importing.written(content))
    assert importing.count("events") == 0


def test_a_mapping_without_activities_says_so(importing, mapping_text):
    with pytest.raises(UnusableInput, match=r"no \[activities\] section"):
        importing.rows("", "activities", mapping=mapping_text.partition("[activities]")[0])


def test_a_funnel_that_is_defined_otherwise_is_a_clear_error(importing, mapping_text):
    importing.rows(OPENED)
    changed = mapping_text.replace(
        '"plan_confirmed", stall_after_days = 10', '"plan_confirmed", stall_after_days = 11'
    )

    with pytest.raises(UnusableInput, match=r"'sales' is defined otherwise already: .*days differ in second"):
        importing.rows(OPENED, mapping=changed)


def test_another_currency_than_the_deployments_is_a_clear_error(importing, mapping_text):
    importing.rows(OPENED)

    with pytest.raises(UnusableInput, match="currency is EUR already"):
        importing.rows(OPENED, mapping=mapping_text.replace('"EUR"', '"USD"'))


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text[:40].encode()) + gzip.compress(text[40:].encode()),
    ],
    ids=["byte order mark", "CRLF", "gzip", "gzip in two members"],
)
def test_a_file_may_be_written_in_many_ways(importing, written):
    summary = importing.file(importing.written(written("deal,at,by,field,old,new\n" + OPENED)))

    assert (summary.events, summary.bad) == (1, 0)


def test_delimiter_encoding_local_times_and_decimal_comma_are_as_the_mapping_says(importing, mapping_text):
    mapping = mapping_text.replace(
        "[funnel]",
        '[file]\ndelimiter = ";"\nencoding = "cp1252"\n'
        '[time]\nformats = ["%d.%m.%Y %H:%M"]\ndate_formats = ["%d.%m.%Y"]\nzone = "Europe/Berlin"\n'
        '[numbers]\ndecimal = ","\nthousands = "."\n[funnel]',
    )
    content = (
        "deal;at;by;field;old;new\n"
        "1;01.07.2026 12:00;Jürgen;created;;First\n"
        "1;01.07.2026 12:00;Jürgen;Amount;;1.234.567,89\n"
        "1;01.07.2026 12:00;Jürgen;Close;;24.12.2026\n"
    )
    summary = importing.file(importing.written(content.encode("cp1252")), mapping=mapping)

    recorded = importing.recorded()[-1]
    assert summary.bad == 0
    assert recorded.meta.occurred_at.isoformat() == "2026-07-01T10:00:00+00:00"
    assert recorded.meta.actor.on_behalf_of == "Jürgen"
    assert str(recorded.event.amount.amount) == "1234567.89"
    assert recorded.event.expected_close.isoformat() == "2026-12-24"


@pytest.mark.parametrize(("form", "text"), [("epoch_ms", "1767258000000"), ("epoch_s", "1767258000")])
def test_times_may_be_counted_since_1970(importing, mapping_text, form, text):
    importing.rows(
        f"1,{text},,created,,First\n",
        mapping=mapping_text.replace("[funnel]", f'[time]\nformats = ["{form}"]\n[funnel]'),
    )

    assert importing.events("1") == [("deal.opened", "01-01 09:00")]
