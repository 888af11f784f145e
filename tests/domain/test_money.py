"""Money has one spelling, and what can not be stored exactly is refused."""

import time
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.money import MAX_DIGITS, MINOR_UNITS, Money, MoneyInput, checked, plain

currencies = st.sampled_from(sorted(MINOR_UNITS))


@st.composite
def storable(draw: st.DrawFn) -> tuple[Decimal, str]:
    """An amount that its currency can hold, in any of the spellings a Decimal has."""
    currency = draw(currencies)
    units = draw(st.integers(0, 10**MAX_DIGITS - 1))
    amount = Decimal(units).scaleb(-MINOR_UNITS[currency])
    zeros = draw(st.integers(0, 5))
    return Decimal(f"{amount:f}" + ("." if "." not in f"{amount:f}" else "") + "0" * zeros), currency


@given(storable())
def test_an_amount_keeps_its_value_to_the_last_digit(given_amount: tuple[Decimal, str]) -> None:
    amount, currency = given_amount
    assert checked(amount, currency).amount == amount


@given(storable())
def test_equal_amounts_have_equal_bytes_however_they_were_spelled(given_amount: tuple[Decimal, str]) -> None:
    amount, currency = given_amount
    stored, again = checked(amount, currency), checked(amount.normalize(), currency)
    assert msgspec.json.encode(stored) == msgspec.json.encode(again)


@given(storable())
def test_an_amount_survives_being_stored(given_amount: tuple[Decimal, str]) -> None:
    stored = checked(*given_amount)
    assert msgspec.json.decode(msgspec.json.encode(stored), type=Money) == stored


@given(st.decimals(allow_nan=False, allow_infinity=False), currencies)
def test_an_amount_is_either_stored_exactly_or_refused(amount: Decimal, currency: str) -> None:
    try:
        stored = checked(amount, currency)
    except ValueError:
        return
    text = plain(stored.amount)
    assert stored.amount == amount
    assert "E" not in text
    assert not text.startswith("-")
    assert len(text.replace(".", "").lstrip("0")) <= MAX_DIGITS
    assert len(text.partition(".")[2]) <= MINOR_UNITS[currency]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_the_plain_spelling_is_the_same_number_without_exponent_or_trailing_zeros(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [
        ("-0.01", "EUR", "not negative"),
        ("NaN", "EUR", "finite"),
        ("sNaN", "EUR", "finite"),
        ("Infinity", "EUR", "finite"),
        ("0.001", "EUR", "at most 2 decimal places"),
        ("0.5", "JPY", "at most 0 decimal places"),
        ("0.0001", "KWD", "at most 3 decimal places"),
        ("1000000000000000", "EUR", "at most 15 digits"),
        ("10000000000000.01", "EUR", "at most 15 digits"),
        ("1", "XXX", "ISO 4217"),
        ("1", "eur", "ISO 4217"),
    ],
)
def test_what_can_not_be_stored_is_refused_saying_why(amount: str, currency: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked(Decimal(amount), currency)


@pytest.mark.parametrize("amount", ["1E+999999999", "1E-999999999", "9E-400000000"])
def test_an_absurd_exponent_is_refused_without_being_written_out(amount: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match="15 digits"):
        checked(Decimal(amount), "EUR")
    assert time.process_time() - began < 1


@pytest.mark.parametrize("zero", ["0", "-0", "0.00", "0E+999999999", "0E-999999999"])
def test_there_is_one_zero(zero: str) -> None:
    assert msgspec.json.encode(checked(Decimal(zero), "EUR")) == b'{"amount":"0","currency":"EUR"}'


@pytest.mark.parametrize(
    "body",
    [
        '{"amount": "12.345", "currency": "EUR", "more": 1}',
        '{"amount": "NaN", "currency": "EUR"}',
        '{"amount": "Infinity", "currency": "EUR"}',
        '{"amount": -1, "currency": "EUR"}',
        '{"amount": 1e300, "currency": "EUR"}',
        '{"amount": "1E-999999999", "currency": "EUR"}',
        '{"amount": "twelve", "currency": "EUR"}',
        '{"amount": null, "currency": "EUR"}',
        '{"amount": true, "currency": "EUR"}',
        '{"amount": "1", "currency": "EURO"}',
        '{"amount": "1", "currency": "\'; DROP TABLE events; --"}',
    ],
)
def test_an_amount_from_outside_has_the_right_shape_or_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        MoneyInput.model_validate_json(body)


def test_an_amount_from_outside_may_be_a_string_or_a_number() -> None:
    assert MoneyInput.model_validate_json('{"amount": "12.50", "currency": "EUR"}').money() == Money(
        Decimal("12.5"), "EUR"
    )
    assert MoneyInput.model_validate_json('{"amount": 12.5, "currency": "EUR"}').money().amount == Decimal(
        "12.5"
    )
