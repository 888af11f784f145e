"""Texts are kept as they are: any script, and SQL is just a text."""

import pytest

from tests.api.conftest import Api

TEXTS = [
    "Zürich · Łódź · Ñandú",
    "华东区域重点客户",
    "مشروع الاستشعار",
    "👩‍🔧 conveyor",
    "e\u0301 stays decomposed",
    "Robert'); DROP TABLE dealtrace.events; --",
    "%s %b {0} $1 \\x00 \\",
    '"quoted" </script><script>alert(1)</script>',
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_field_takes_any_text(api: Api, text: str) -> None:
    deal = api.open_deal(
        name=text,
        owner=text,
        product_line=text,
        customer_segment=text,
        region=text,
        external={"source": text, "id": text},
    )

    answer = api.post(f"/v1/deals/{deal}/lose-deal", {"reason": text}, If_Match='"1"')

    assert answer.status_code == 200, answer.text
