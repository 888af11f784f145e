"""Manager forecasts and those who never see them: whatever can be fetched is the same with and without forecasts."""

import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from infra.postgres import Server, scratch_database
from tests.api.conftest import Api, serve
from tests.api.test_stream import Followed

MONTH, CLOSE = "2027-06", "2027-06-30"
PLANTED = ("73911.37", "48227.91", "61493.53")
TRACES = [n for each in PLANTED for n in (each, each.replace(".", ""), each.partition(".")[0])] + [
    "forecast.set"
]
"""The planted amounts as any answer might spell them, and the name of the event."""
REASON = "planted-why"

OPERATORS_ONLY = {"/v1/projections", "/metrics"}
"""How the machinery stands, counts included: not for reps, see the test of its own."""
SAME_FOR_ALL = {"/v1/log", "/v1/stream", "/problems/{code}", "/openapi.json", "/health", "/ready"}
"""Without anything about deals, or (the stream) with a test of its own."""

_CHANCE = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{40,}|\.\d{1,6}Z")
"""Ids, hashes and fractions of a second may hold any digits."""
_MOVING = re.compile(
    rb'"(position|log_position|request_id|as_of|next_cursor|age_days)":("[^"]*"|[\d.]+|null)'
)


_ITS_OWN = {"date", "x-request-id", "content-length"}
"""Headers that differ from one answer to the next whatever is told."""


class Seen(NamedTuple):
    """What somebody gets who asks."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class World(NamedTuple):
    """A company with a team, its deals, and what everybody could fetch before there were forecasts."""

    api: Api
    deals: dict[str, str]
    account: str
    before: dict[str, dict[str, Seen]]
    position: int

    def viewer(self, name: str) -> Api:
        return Api(self.api.client, self.api.app, self.api.database, *VIEWERS[name])


VIEWERS = {
    "the owner": ("rita", "rep"),
    "a colleague of the deal team": ("ron", "rep"),
    "a manager outside the line": ("walt", "manager"),
    "the owner, acting as a director": ("rita", "director"),
    "her manager's manager, on the deal team": ("tilda", "manager"),
    "a director, on the deal team": ("dan", "director"),
    "sales operations": ("sol", "sales_operations"),
    "an integration": ("crm", "integration"),
}
BLIND = pytest.mark.parametrize("name", VIEWERS)


@pytest.fixture(scope="module")
def world(server: Server, template_database: str) -> Iterator[World]:
    """Everything is fetched by everybody, then the forecasts are set, revised and withdrawn."""
    with scratch_database(server, template=template_database) as database, serve(database) as api:
        admin = api.as_role("admin")
        for command in _company():
            assert admin.post("/v1/commands", {"commands": [command]}).is_success, command
        account = admin.post("/v1/accounts", {"name": "Halvern Foods"}).json()["account_id"]
        rita = Api(api.client, api.app, database, "rita", "rep")
        deals = {
            name: rita.open_deal(
                owner="rita",
                account_id=account,
                name=f"Sensors {name}",
                expected_close=CLOSE,
                amount={"amount": "5000", "currency": "EUR"},
            )
            for name in ("planted", "revised", "withdrawn", "without")
        }
        mia = Api(api.client, api.app, database, "mia", "manager")
        for deal in deals.values():
            for person in ("ron", "tilda", "dan"):
                body = {"person": person, "department": "sales"}
                assert mia.post(f"/v1/deals/{deal}/join-deal-team", body, If_Match="*").is_success
        api.catch_up()
        world = World(api, deals, account, {}, api.head())
        for name in VIEWERS:
            world.before[name] = everything(world, world.viewer(name))
        for deal, amount in zip(
            ("planted", "revised", "revised", "withdrawn"), (*PLANTED, PLANTED[0]), strict=True
        ):
            body = {"amount": {"amount": amount, "currency": "EUR"}, "reason": REASON}
            assert mia.post(f"/v1/deals/{deals[deal]}/set-forecast", body, If_Match="*").is_success
        body = {"reason": REASON}
        assert mia.post(f"/v1/deals/{deals['withdrawn']}/withdraw-forecast", body, If_Match="*").is_success
        api.catch_up()
        yield world


def _company() -> list[dict[str, Any]]:
    from domain.templates import TAS_PLUS

    rates = [{"stage": stage.key, "rate": "0.5"} for stage in TAS_PLUS.stages]
    return [
        {"command": "set-currency", "currency": "EUR"},
        {"command": "define-funnel", **TAS_PLUS.model_dump(mode="json", exclude_none=True)},
        {"command": "adopt-rate-set", "funnel": "tas_plus", "rates": rates, "reason": "a start"},
        {"command": "create-team", "team": "top", "label": "Top"},
        {"command": "appoint-manager", "team": "top", "manager": "tilda"},
        {"command": "create-team", "team": "east", "label": "East", "parent": "top"},
        {"command": "create-team", "team": "west", "label": "West"},
        {"command": "appoint-manager", "team": "east", "manager": "mia"},
        {"command": "appoint-manager", "team": "west", "manager": "walt"},
        {"command": "join-team", "team": "east", "person": "rita"},
        {"command": "join-team", "team": "east", "person": "ron"},
        {"command": "join-team", "team": "west", "person": "wanda"},
    ]


def everything(world: World, viewer: Api) -> dict[str, Seen]:
    """Every answer that the viewer can get from any address of the document."""
    found = {}
    for address in _addresses(world):
        answer = viewer.get(address)
        for page in range(20):
            said = b"".join(f"{n}: {v}\n".encode() for n, v in answer.headers.items())
            seen = _CHANCE.sub(b"", said + answer.content)
            traces = [trace for trace in (*TRACES, REASON) if trace.encode() in seen]
            assert not traces, f"{address} tells {viewer.actor} of {traces}: {answer.text[:500]}"
            body = _MOVING.sub(b"", answer.content)
            headers = [(n, v) for n, v in answer.headers.items() if n not in _ITS_OWN]
            found[f"{address} page {page}"] = Seen(answer.status_code, headers, body)
            cursor = (
                answer.json().get("next_cursor") if answer.is_success and "json" in said.decode() else None
            )
            if cursor is None:
                break
            answer = viewer.get(address + ("&" if "?" in address else "?") + f"cursor={cursor}")
    return found


def _addresses(world: World) -> list[str]:
    """Every GET address, with each of its parameters alone, with each of its values that are plausible."""
    paths = world.api.get("/openapi.json").json()["paths"]
    asked = []
    for path, operations in paths.items():
        if "get" not in operations or path in OPERATORS_ONLY | SAME_FOR_ALL:
            continue
        places = (
            [path.replace("{deal_id}", deal) for deal in world.deals.values()]
            if "{deal_id}" in path
            else [path.format(funnel="tas_plus", account_id=world.account, recalibration_id=UUID(int=1))]
        )
        takes = [p for p in operations["get"]["parameters"] if p["in"] == "query"]
        needed = "&".join(f"{p['name']}={_values(world, p)[0]}" for p in takes if p["required"])
        alone = [f"{p['name']}={value}" for p in takes for value in _values(world, p)]
        at = "as_of=2027-06-15T00:00:00Z" if any(p["name"] == "as_of" for p in takes) else ""
        for place in places:
            for one in ("", *alone):
                query = "&".join(filter(None, (needed, one, "" if one.startswith("as_of") else at)))
                asked.append(f"{place}?{query}" if query else place)
    return asked


def _values(world: World, parameter: Any) -> list[str]:
    """What somebody who looks for forecasts would ask."""
    schema, name = parameter["schema"], parameter["name"]
    known = {
        "funnel": ["tas_plus"], "stage": ["verification"], "owner": ["rita"], "team": ["east"], "manager": ["mia"],
        "month": [MONTH], "from_month": [MONTH], "to_month": [MONTH], "quarter": ["FY2027-Q2"], "year": ["FY2027"],
        "deal": list(world.deals.values()), "account": [world.account], "limit": ["1"], "rate_set": ["1"],
        "q": ["Sensors", *PLANTED], "amount_from": [PLANTED[0]], "amount_to": [PLANTED[0]],
        "as_of": ["2027-06-30T00:00:00Z", "2027-07-15T00:00:00Z"], "weeks": ["1"],
    }  # fmt: skip
    return [str(value) for value in schema.get("enum") or known.get(name, [])]


@BLIND
def test_whatever_they_fetch_is_as_if_there_were_no_forecast(world: World, name: str) -> None:
    after = everything(world, world.viewer(name))
    assert len(after) > 100
    assert after.keys() == world.before[name].keys()
    assert {a: seen for a, seen in after.items() if seen != world.before[name][a]} == {}


@BLIND
def test_the_stream_tells_them_nothing(world: World, name: str) -> None:
    viewer = world.viewer(name)
    last = world.api.post(
        f"/v1/deals/{world.deals['without']}/rename-deal", {"name": "x"}, If_Match="*"
    ).json()
    with Followed(viewer, after=0) as stream:
        seen = []
        for change in stream:
            seen.append(change)
            if change["position"] == last["position"]:
                break
    assert [c["position"] for c in seen] == [
        *range(1, world.position + 1),
        *range(_first_after(world), last["position"] + 1),
    ]
    assert not [trace for trace in (*TRACES, REASON) if trace in str(seen)]


def _first_after(world: World) -> int:
    return world.position + 6


@BLIND
@pytest.mark.parametrize("command", ["set-forecast", "withdraw-forecast"])
def test_their_commands_are_refused_alike_with_and_without_a_forecast(
    world: World, name: str, command: str
) -> None:
    viewer, head = world.viewer(name), world.api.head()
    body: dict[str, Any] = {"reason": "I try"}
    if command == "set-forecast":
        body["amount"] = {"amount": "1", "currency": "EUR"}
    answers = {
        (
            if_match,
            answer.status_code,
            answer.json()["code"],
            answer.json()["detail"],
            answer.json().get("accepted"),
        )
        for deal in world.deals.values()
        for if_match in ("*", '"0"', '"1"', '"2"', '"3"')
        for answer in [viewer.post(f"/v1/deals/{deal}/{command}", body, If_Match=if_match)]
    }
    assert {status for _, status, *_ in answers} == {403}
    assert len(answers) == 5
    assert world.api.head() == head


def test_a_deals_version_does_not_move(world: World) -> None:
    deal = world.deals["planted"]
    answer = world.viewer("the owner").post(f"/v1/deals/{deal}/confirm-deal", {}, If_Match='"4"')
    assert answer.json()["version"] == 5


@pytest.mark.parametrize("role", ["rep", "integration"])
def test_how_many_events_a_projection_applied_is_for_those_who_run_it(world: World, role: str) -> None:
    for address in OPERATORS_ONLY:
        answer = world.api.as_role(role).get(address)
        assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
        assert world.api.client.get(address).json()["code"] == "unauthenticated"
        assert world.api.as_role("sales_operations").get(address).is_success


def test_who_leaves_the_deal_team_sees_the_forecast_but_not_what_was_set_meanwhile(
    server: Server, template_database: str
) -> None:
    with scratch_database(server, template=template_database) as database, serve(database) as api:
        admin = api.as_role("admin")
        for command in _company():
            assert admin.post("/v1/commands", {"commands": [command]}).is_success, command
        mia, tilda = (Api(api.client, api.app, database, name, "manager") for name in ("mia", "tilda"))
        euros = [{"amount": amount, "currency": "EUR"} for amount in PLANTED]
        hers, other = (api.open_deal(owner="rita", expected_close=CLOSE) for _ in range(2))

        def done(who: Api, deal: str, command: str, **fields: Any) -> None:
            assert who.post(f"/v1/deals/{deal}/{command}", fields, If_Match="*").is_success

        def told() -> tuple[str | None, set[str], set[str]]:
            """The total of F1, the amounts in the audit, and those in the stream."""
            api.catch_up()
            table = tilda.get(f"/v1/forecast?funnel=tas_plus&month={MONTH}").json()
            audit = tilda.get("/v1/forecast/audit").json()["entries"]
            last = api.post(f"/v1/deals/{other}/confirm-deal", {"plan": None}, If_Match="*").json()[
                "position"
            ]
            with Followed(tilda, after=0) as stream:
                followed = []
                for change in stream:
                    followed.append(str(change))
                    if change["position"] == last:
                        break
            api.catch_up()
            return table["total"]["f1_open"], _planted(str(audit)), _planted(str(followed))

        done(mia, other, "set-forecast", amount=euros[1], reason=REASON)
        done(mia, hers, "join-deal-team", person="tilda")
        done(mia, hers, "set-forecast", amount=euros[0], reason=REASON)
        assert told() == (None, {PLANTED[1]}, {PLANTED[1]})
        by_owner = tilda.get(f"/v1/forecast?funnel=tas_plus&month={MONTH}").json()["by_owner"]
        assert [row["f1_open"] for row in by_owner] == [None]

        done(mia, hers, "leave-deal-team", person="tilda")
        done(mia, hers, "set-forecast", amount=euros[2], reason=REASON)
        total, audited, followed = told()
        assert total == str(Decimal(PLANTED[1]) + Decimal(PLANTED[2]))
        assert audited == followed == {PLANTED[1], PLANTED[2]}  # and not the one that the third came after


NOW_FORECAST = "12321.21"
"""What a deal is forecast at after those who worked on it do so no more."""


@pytest.fixture(scope="module")
def handed_over(server: Server, template_database: str) -> Iterator[World]:
    """Forecasts are set while rita owns the deals and dan works on them; then both hand them over."""
    with scratch_database(server, template=template_database) as database, serve(database) as api:
        admin = api.as_role("admin")
        for command in _company():
            assert admin.post("/v1/commands", {"commands": [command]}).is_success, command
        rita, mia = (
            Api(api.client, api.app, database, *who) for who in (("rita", "rep"), ("mia", "manager"))
        )
        five = {"amount": "5000", "currency": "EUR"}
        deals = {
            name: rita.open_deal(owner="rita", name=f"Sensors {name}", expected_close=CLOSE, amount=five)
            for name in ("planted", "revised", "withdrawn")
        }

        def done(name: str, command: str, **fields: Any) -> None:
            answer = mia.post(f"/v1/deals/{deals[name]}/{command}", fields, If_Match="*")
            assert answer.is_success, answer.text

        done("planted", "set-forecast", amount={"amount": PLANTED[0], "currency": "EUR"}, reason=REASON)
        for name in deals:
            done(name, "join-deal-team", person="dan", department="sales")
        for name, amount in (("revised", PLANTED[1]), ("revised", PLANTED[2]), ("withdrawn", PLANTED[0])):
            done(name, "set-forecast", amount={"amount": amount, "currency": "EUR"}, reason=REASON)
        for name in deals:
            done(name, "leave-deal-team", person="dan")
            done(name, "revise-owner", owner="ron")
        done("withdrawn", "withdraw-forecast", reason="No more.")
        api.catch_up()
        yield World(api, deals, "00000000-0000-0000-0000-000000000001", {}, api.head())


THOSE_WHO_WERE = {
    "the owner, now a director": ("rita", "director"),
    "the owner, now an analyst": ("rita", "analyst"),
    "the owner, now an auditor": ("rita", "auditor"),
    "a director, then on the deal team": ("dan", "director"),
}


@pytest.mark.parametrize("name", THOSE_WHO_WERE)
def test_who_worked_on_a_deal_never_sees_what_was_forecast_meanwhile(handed_over: World, name: str) -> None:
    """Not even in the change that came after: that tells the new amount, and nothing of the one before it."""
    api = handed_over.api
    viewer = Api(api.client, api.app, api.database, *THOSE_WHO_WERE[name])
    assert len(everything(handed_over, viewer)) > 100
    table = viewer.get(f"/v1/forecast?funnel=tas_plus&month={MONTH}").json()
    assert (table["total"]["f1_open"], table["total"]["difference"]) == (None, None)
    assert (_followed(api, viewer), _audited(viewer)) == (set(), set())


def test_who_worked_on_a_deal_sees_the_next_forecast(handed_over: World) -> None:
    api = handed_over.api
    mia = Api(api.client, api.app, api.database, "mia", "manager")
    for deal in handed_over.deals.values():
        fields = {"amount": {"amount": NOW_FORECAST, "currency": "EUR"}, "reason": "They signed."}
        assert mia.post(f"/v1/deals/{deal}/set-forecast", fields, If_Match="*").is_success
    api.catch_up()
    for actor in (("rita", "director"), ("dan", "director"), ("rita", "auditor")):
        viewer = Api(api.client, api.app, api.database, *actor)
        table = viewer.get(f"/v1/forecast?funnel=tas_plus&month={MONTH}").json()
        assert table["total"]["f1_open"] == str(3 * Decimal(NOW_FORECAST))
        assert _followed(api, viewer) == _audited(viewer) == {NOW_FORECAST}
        everything(handed_over, viewer)
    assert _audited(mia) == {NOW_FORECAST, *PLANTED}


def _audited(viewer: Api) -> set[str]:
    queries = ("", f"?month={MONTH}", "?funnel=tas_plus&order=desc")
    return set().union(*(_planted(viewer.get(f"/v1/forecast/audit{q}").text) for q in queries))


def _followed(api: Api, viewer: Api) -> set[str]:
    """The amounts in the whole stream, of which an event that everybody may see is the last."""
    other = api.open_deal(owner="wanda")
    last = api.post(f"/v1/deals/{other}/confirm-deal", {"plan": None}, If_Match="*").json()["position"]
    followed = []
    with Followed(viewer, after=0) as stream:
        for change in stream:
            followed.append(str(change))
            if change["position"] == last:
                break
    return _planted(str(followed))


def _planted(text: str) -> set[str]:
    return {amount for amount in (*PLANTED, NOW_FORECAST) if amount in text}


def test_those_who_may_see_the_forecasts_do(world: World) -> None:
    mia = Api(world.api.client, world.api.app, world.api.database, "mia", "manager")
    told = chain.from_iterable(
        re.findall("|".join(PLANTED), mia.get(address).text)
        for address in ("/v1/forecast/audit", f"/v1/forecast/audit?deal={world.deals['planted']}")
    )
    assert set(told) == set(PLANTED)
