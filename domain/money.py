"""Money: a decimal amount in an ISO 4217 currency."""

import re
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from domain.wording import accepting

# ISO 4217 (2024): active codes by the number of decimal places of their minor unit.
_TWO = """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS
INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN
NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN
SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW"""
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"

MINOR_UNITS: dict[str, int] = {
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_NONE.split(), 0),
    **dict.fromkeys(_THREE.split(), 3),
}
"""Decimal places of each currency's minor unit."""

MAX_DIGITS = 15


class Money(msgspec.Struct, frozen=True):
    """An amount of a currency; stored as `{"amount": "<decimal string>", "currency": "EUR"}`."""

    amount: Decimal
    currency: str


def plain(amount: Decimal) -> str:
    """The one spelling of an amount: no exponent, no trailing zeros, no negative zero."""
    if not amount:
        return "0"
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def checked(amount: Decimal, currency: str) -> Money:
    """Money in its one spelling.

    Raises ValueError for a negative amount, over 15 digits, or a scale finer than the currency's minor unit.
    """
    if currency not in MINOR_UNITS:
        raise ValueError(f"currency {currency!r} is not an active ISO 4217 code such as EUR")
    if not amount.is_finite() or amount < 0:
        raise ValueError("amount must be a finite decimal that is not negative")
    if amount and abs(amount.adjusted()) >= MAX_DIGITS:  # before it is written out in full
        raise ValueError(f"amount must have at most {MAX_DIGITS} digits")
    text = plain(amount)
    whole, _, fraction = text.partition(".")
    if len(fraction) > MINOR_UNITS[currency]:
        raise ValueError(f"amount in {currency} must have at most {MINOR_UNITS[currency]} decimal places")
    if len(whole.lstrip("0")) + len(fraction) > MAX_DIGITS:
        raise ValueError(f"amount must have at most {MAX_DIGITS} digits")
    return Money(Decimal(text), currency)


def _is_currency(code: str) -> str:
    if code not in MINOR_UNITS:
        raise ValueError("must be an active ISO 4217 code such as EUR")
    return code


Currency = Annotated[
    str,
    AfterValidator(_is_currency),
    Field(examples=["EUR"], pattern="^[A-Z]{3}$"),
    accepting("an active ISO 4217 code such as EUR"),
]


_PLAIN = re.compile(r"[0-9]+(\.[0-9]+)?")
_LONGEST = 40


def _written_plainly(value: Any) -> Any:
    if isinstance(value, str):
        if len(value) > _LONGEST or not _PLAIN.fullmatch(value):
            raise ValueError("must be written in plain digits, such as 12500.00")
        return Decimal(value)
    # Where types are not guessed, a number would not be taken for a decimal once it has come through here.
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


PlainDecimal = Annotated[
    Decimal, BeforeValidator(_written_plainly), accepting("digits with at most one point, such as 0.5")
]
"""A decimal that is not negative; as a text, digits with at most one point, without exponent, sign or separators."""


class MoneyInput(BaseModel):
    """An amount of money from outside: a decimal string (preferred) or number, and its currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: Annotated[
        PlainDecimal,
        Field(ge=0, max_digits=MAX_DIGITS, allow_inf_nan=False, examples=["12500.00"]),
        accepting(f"up to {MAX_DIGITS} digits with at most one point, such as 12500.00"),
    ]
    currency: Currency

    def money(self) -> Money:
        """The same as stored. Raises ValueError as `checked` does."""
        return checked(self.amount, self.currency)
