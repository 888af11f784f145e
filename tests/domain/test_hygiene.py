"""Amount and expected close are confirmed week by week."""

from datetime import date
from decimal import Decimal

from domain.deal import ConfirmDeal, DealConfirmed, DealOpened, DealWon
from domain.errors import DealClosed
from domain.money import Money
from tests.given import DEAL, fold, given, sealed

TEN = Money(Decimal(10), "EUR")
OPENED = DealOpened("tas_plus", "verification", amount=TEN, expected_close=date(2026, 6, 30))
CONFIRMED = DealConfirmed(TEN, date(2026, 6, 30), sealed("plan"))


def test_a_deal_is_confirmed_as_it_stands_with_the_plan_and_each_time_anew() -> None:
    confirm = ConfirmDeal(deal_id=DEAL, plan="Call Eva.")
    assert given(OPENED).when(confirm).then(CONFIRMED) == fold((OPENED,))
    given(OPENED, CONFIRMED).when(confirm).then(CONFIRMED)


def test_what_is_unknown_may_be_confirmed_as_unknown() -> None:
    given(DealOpened("tas_plus", "verification")).when(ConfirmDeal(deal_id=DEAL)).then(
        DealConfirmed(None, None, None)
    )


def test_a_closed_deal_is_not_confirmed() -> None:
    given(OPENED, DealWon("verification")).when(ConfirmDeal(deal_id=DEAL)).refused(
        DealClosed, field="deal_id"
    )


def test_the_plan_lies_in_the_vault() -> None:
    assert ConfirmDeal.personal_fields() == ("plan",)
