"""What tokens cost, to the last digit; and how prices are kept."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import starmap

import pytest
from batchline import catalog
from batchline.catalog import Account
from batchline.models import Charge, Engine, Tier, Usage
from batchline.money import prices
from batchline.money.prices import Entry, Finding, Kind, PriceList, PricesError, charge, price

NOVA = "amazon.nova-lite-v1:0"
PRO = "amazon.nova-pro-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_5 = "anthropic.claude-haiku-5-5"  # prompts above 100,000 tokens cost five times as much
LARGE = "mistral.mistral-large-2407-v1:0"  # no batch price is published

# 1,234,567 tokens read and 89,012 written.
USAGE = Usage(1_234_567, 89_012)
TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def nothing_adopted() -> Iterator[None]:
    yield
    prices.adopt(PriceList())
    catalog.adopt(catalog.NO_ACCOUNT)


def entry(
    read: str = "1",
    written: str = "5",
    *,
    since: str = "2026-11-22",
    at: str = "",
    above: int = 0,
    **more: str,
) -> Entry:
    fields = {"model": HAIKU, "group": "base", "kind": "on_demand", "source": "a test"} | more
    return Entry.model_validate(
        {**fields, "from": since, "read": at or since, "above": above, "input": read, "output": written}
    )


@pytest.mark.parametrize(
    ("model", "engine", "tier", "cost"),
    [
        # 1.234567 * 0.06 + 0.089012 * 0.24 = 0.07407402 + 0.02136288
        (NOVA, Engine.ON_DEMAND, Tier.DEFAULT, "0.0954369"),
        # half of it: 0.03703701 + 0.01068144
        (NOVA, Engine.BATCH, Tier.DEFAULT, "0.04771845"),
        (NOVA, Engine.ON_DEMAND, Tier.FLEX, "0.04771845"),
        # 1.234567 * 1 + 0.089012 * 5 = 1.234567 + 0.44506
        (HAIKU, Engine.ON_DEMAND, Tier.DEFAULT, "1.679627"),
        # 1.234567 * 0.5 + 0.089012 * 2.5 = 0.6172835 + 0.22253
        (HAIKU, Engine.BATCH, Tier.DEFAULT, "0.8398135"),
        # global costs what the model costs, a geography a tenth more
        (f"global.{HAIKU}", Engine.BATCH, Tier.DEFAULT, "0.8398135"),
        (f"us.{HAIKU}", Engine.ON_DEMAND, Tier.DEFAULT, "1.8475897"),  # 1.679627 * 1.1
        (f"eu.{HAIKU}", Engine.BATCH, Tier.DEFAULT, "0.92379485"),  # 0.8398135 * 1.1
        # 1.234567 * 2 + 0.089012 * 6 = 2.469134 + 0.534072
        (LARGE, Engine.ON_DEMAND, Tier.DEFAULT, "3.003206"),
        (LARGE, Engine.BATCH, Tier.DEFAULT, "1.501603"),
        (LARGE, Engine.ON_DEMAND, Tier.FLEX, "1.501603"),
        # Nova Pro's priority: 1.234567 * 1.4 + 0.089012 * 5.6 = 1.7283938 + 0.4984672
        (PRO, Engine.ON_DEMAND, Tier.PRIORITY, "2.226861"),
        # In Europe none is published, so 1.75 times the price on demand of 1.05 and 4.2:
        # 1.234567 * 1.8375 + 0.089012 * 7.35 = 2.2685168625 + 0.6542382
        (f"eu.{PRO}", Engine.ON_DEMAND, Tier.PRIORITY, "2.9227550625"),
        # In the United States Nova Lite costs what it costs at home,
        (f"us.{NOVA}", Engine.ON_DEMAND, Tier.DEFAULT, "0.0954369"),
        # in Europe more: 1.234567 * 0.078 + 0.089012 * 0.312 = 0.096296226 + 0.027771744
        (f"eu.{NOVA}", Engine.ON_DEMAND, Tier.DEFAULT, "0.12406797"),
    ],
)
def test_costs_to_the_last_digit(model: str, engine: Engine, tier: Tier, cost: str) -> None:
    assert price(model, engine, tier).cost(USAGE) == Decimal(cost)


def test_a_charge_says_what_was_saved() -> None:
    # 0.0954369 on demand - 0.04771845 in a batch
    assert charge(USAGE, NOVA, Engine.BATCH) == Charge(Decimal("0.04771845"), Decimal("0.04771845"))
    assert charge(USAGE, NOVA, Engine.ON_DEMAND) == Charge(Decimal("0.0954369"), Decimal(0))
    assert charge(USAGE, NOVA, Engine.ON_DEMAND, Tier.FLEX) == charge(USAGE, NOVA, Engine.BATCH)


@pytest.mark.parametrize(
    ("model", "engine", "cost"),
    [
        # Haiku: 100 * 1 + 10 * 5 + 1,000 * 0.1 + 200 * 1.25 = 100 + 50 + 100 + 250
        (HAIKU, Engine.ON_DEMAND, "0.0005"),
        # cached tokens cost the same in a batch: 100 * 0.5 + 10 * 2.5 + 100 + 250
        (HAIKU, Engine.BATCH, "0.000425"),
        # a tenth more in a geography: 110 + 55 + 110 + 275
        (f"us.{HAIKU}", Engine.ON_DEMAND, "0.00055"),
        # Nova Lite: 100 * 0.06 + 10 * 0.24 + 1,000 * 0.015 + 200 * 0.06, for writing has no price of its own
        (NOVA, Engine.ON_DEMAND, "0.0000354"),
        # Mistral Large has no prices for a cache: 100 * 2 + 10 * 6 + 1,000 * 2 + 200 * 2
        (LARGE, Engine.ON_DEMAND, "0.00266"),
    ],
)
def test_cached_tokens_have_prices_of_their_own(model: str, engine: Engine, cost: str) -> None:
    usage = Usage(100, 10, cache_read_tokens=1000, cache_write_tokens=200, reasoning_tokens=8)
    assert charge(usage, model, engine).cost_usd == Decimal(cost)


def test_a_geography_with_a_price_of_its_own() -> None:
    tokyo = price("jp.amazon.nova-2-lite-v1:0", Engine.ON_DEMAND)
    assert (tokyo.input, tokyo.output, tokyo.basis) == (Decimal("0.396"), Decimal("3.311"), "list")
    # No batch price is published for Europe: half of 0.429 and 3.597, and marked so.
    europe = price("eu.amazon.nova-2-lite-v1:0", Engine.BATCH)
    assert (europe.input, europe.output, europe.basis) == (Decimal("0.2145"), Decimal("1.7985"), "half")


def test_an_arn_costs_what_its_profile_costs() -> None:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{HAIKU}"
    assert price(arn, Engine.BATCH) == price(f"us.{HAIKU}", Engine.BATCH)


def test_a_profile_of_the_account_costs_what_the_one_behind_it_costs() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    assert price(arn, Engine.BATCH).basis == "unknown"
    for behind in (f"us.{HAIKU}", f"global.{HAIKU}", HAIKU):
        catalog.adopt(Account(source="a test", read_at="2026-11-22", profiles={"abc": behind}))
        assert price(arn, Engine.BATCH) == price(behind, Engine.BATCH)


def test_the_basis_says_how_sure_a_price_is() -> None:
    assert price(NOVA, Engine.BATCH).basis == "list"
    assert price(LARGE, Engine.BATCH).basis == "half"
    assert price(f"eu.{PRO}", Engine.ON_DEMAND, Tier.PRIORITY).basis == "premium"
    assert price(LARGE, Engine.ON_DEMAND).basis == "list"
    unknown = price("example.model-v1", Engine.BATCH)
    assert (unknown.cost(USAGE), unknown.basis) == (Decimal(0), "unknown")


def test_charges_of_parts_add_up_to_the_charge_of_the_whole() -> None:
    parts = [Usage(7, 3), Usage(1_000_003, 11), Usage(0, 1)]
    whole = sum(parts, Usage())
    each = sum((charge(one, HAIKU, Engine.BATCH) for one in parts), Charge())
    assert each == charge(whole, HAIKU, Engine.BATCH)


@pytest.mark.parametrize(
    "model",
    [
        "ai21.j2-mid-v1",
        "ai21.j2-ultra-v1",
        "amazon.titan-text-express-v1",
        "amazon.titan-text-lite-v1",
        "amazon.titan-text-premier-v1:0",
        "anthropic.claude-3-haiku-20240307-v1:0",
        "anthropic.claude-3-opus-20240229-v1:0",
        "anthropic.claude-3-sonnet-20240229-v1:0",
        "cohere.command-r-plus-v1:0",
        "cohere.command-r-v1:0",
    ],
)
def test_what_bedrock_has_retired_keeps_its_price(model: str) -> None:
    assert price(model, Engine.ON_DEMAND).basis == "list"


def test_every_entry_of_the_data_file_says_who_says_so_and_fits_its_model() -> None:
    known = prices.packaged()
    assert {one.kind for one in known.entries} == set(Kind)
    assert PriceList.load(known.dump(), "it") == known.with_(())
    for one in known.entries:
        assert any(one.amounts)
        assert one.since <= one.read
        assert one.model == catalog.base_id(one.model)
        assert {one.group} <= {"base", "regional"} | {name.rstrip(".") for name in catalog.GEOGRAPHIES}
    for one in known.in_force():
        if one.kind in {Kind.BATCH, Kind.FLEX}:
            listed = known.find(one.model, one.group, Kind.ON_DEMAND)
            assert listed
            assert one.input < listed.input


# long prompts


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        # 0.1 and 0.5 a million up to 100,000 tokens: 10,000 + 500 millionths
        (HAIKU_5, Usage(100_000, 1_000), "0.0105"),
        # 0.5 and 2.5 above: 50,000.5 + 2,500
        (HAIKU_5, Usage(100_001, 1_000), "0.0525005"),
        # What a cache holds is of the prompt: 50 * 0.5 + 90,000 * 0.05 + 10,000 * 0.625 + 2.5
        (HAIKU_5, Usage(50, 1, 90_000, 10_000), "0.0107775"),
        # through a geography's profile a tenth more: 200,000 * 0.55 + 1,000 * 2.75
        (f"us.{HAIKU_5}", Usage(200_000, 1_000), "0.11275"),
        (HAIKU, Usage(200_000, 1_000), "0.205"),  # one price for all prompts: 200,000 * 1 + 1,000 * 5
    ],
)
def test_a_long_prompt_costs_the_price_of_long_ones(model: str, usage: Usage, cost: str) -> None:
    told = usage.parted(prices.long_above(model))
    assert charge(told, model, Engine.ON_DEMAND) == Charge(Decimal(cost), Decimal(0))


def test_short_and_long_prompts_add_up() -> None:
    above = prices.long_above(HAIKU_5)
    assert above == 100_000
    both = Usage(100_000, 1_000).parted(above) + Usage(100_001, 1_000).parted(above)
    # 0.0105 + 0.0525005, not what 200,001 tokens of one prompt cost
    assert charge(both, HAIKU_5, Engine.ON_DEMAND).cost_usd == Decimal("0.0630005")


def test_half_of_a_long_prompts_price_is_its_batch_price_where_no_other_is_known() -> None:
    long = entry("7", "9", above=100_000)
    prices.adopt(PriceList(entries=(long,)))
    # Batches of short prompts have a price, 0.5 and 2.5; 1,000,000 * 3.5, and as much is saved.
    usage = Usage(1_000_000, 0).parted(prices.long_above(HAIKU))
    assert charge(usage, HAIKU, Engine.BATCH) == Charge(Decimal("3.5"), Decimal("3.5"))
    prices.adopt(PriceList(entries=(long, entry("4", "5", kind="batch", above=100_000))))
    assert charge(usage, HAIKU, Engine.BATCH) == Charge(Decimal(4), Decimal(3))


def test_a_price_of_long_prompts_changes_by_itself() -> None:
    short, long = entry("1", "5", since="2026-01-01"), entry("2", "6", since="2026-01-01", above=200_000)
    known = PriceList(entries=(short, long))
    assert PriceList.load(known.dump(), "it") == known
    # A source that knows no long prompts leaves what another has said of them.
    renewed = known.with_(prices.renewed(known, [entry("3", "5")]))
    assert [renewed.at(one.key) for one in (short, long)] == [entry("3", "5"), long]
    # Where they begin is part of the price.
    nearer = entry("2", "6", above=100_000)
    assert known.with_(prices.renewed(known, [nearer])).at(long.key) == nearer
    assert prices.differing(known, [short, nearer], TODAY) == [Finding("differs", long, nearer)]
    (missing,) = prices.differing(PriceList(entries=(short,)), [short, nearer], TODAY)
    assert missing == Finding("missing", nearer)
    assert missing.told()["theirs"]["above"] == 100_000


def test_no_price_of_long_prompts_is_for_those_that_nobody_counts() -> None:
    with pytest.raises(PricesError, match=r"entries\.0\.above: .*64,000 tokens or more"):
        PriceList.load(PriceList(entries=(entry(above=64_000),)).dump().replace("64000", "63999"), "it")


# dated prices


def test_a_job_is_charged_what_was_in_force_when_it_was_opened() -> None:
    prices.adopt(
        PriceList(entries=(entry("0.8", "4", since="2027-01-01"), entry("2", "10", since="2027-03-01")))
    )
    asked = [
        price(HAIKU, Engine.ON_DEMAND, at=at).input
        for at in ("2020-01-01", "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00.000Z", "2027-02-28")
    ]
    assert asked == [Decimal(1), Decimal(1), Decimal("0.8"), Decimal("0.8")]
    assert price(HAIKU, Engine.ON_DEMAND).input == 2
    # A batch goes on at the batch price that is known, not at half of the new one.
    assert price(HAIKU, Engine.BATCH, at="2027-02-01").input == Decimal("0.5")


def test_a_stacks_own_price_takes_the_place_of_the_data_files() -> None:
    (packaged,) = [one for one in prices.packaged().entries if one.key == entry().key]
    prices.adopt(PriceList(entries=(entry("7", "8", since=packaged.since.isoformat()),)))
    assert price(HAIKU, Engine.ON_DEMAND, at="2020-01-01").input == 7
    prices.adopt(PriceList())
    assert price(HAIKU, Engine.ON_DEMAND).input == 1


def test_a_file_that_somebody_has_spoilt_is_said_to_be() -> None:
    with pytest.raises(
        PricesError, match=r"prices.json in the work bucket cannot be used: entries\.0\.input"
    ):
        PriceList.load(
            PriceList(entries=(entry(),)).dump().replace('"1"', '"-1"'), "prices.json in the work bucket"
        )


# keeping the file


def test_a_price_read_again_is_the_same_entry_and_another_one_leaves_the_older() -> None:
    known = PriceList(entries=(entry("1", "5", since="2026-01-01"), entry("9", "9", group="regional")))
    same = entry("1", "5", since="2026-11-22", source="another source")
    (again,) = prices.renewed(known, [same])
    assert (again.since, again.read, again.source) == (date(2026, 1, 1), TODAY, "another source")
    changed = known.with_(prices.renewed(known, [entry("2", "6")]))
    assert [str(one.input) for one in changed.by_key[entry().key]] == ["1", "2"]
    # Read twice on one day, the second reading counts; what a source does not name stays.
    corrected = changed.with_(prices.renewed(changed, [entry("3", "6")]))
    assert [str(one.input) for one in corrected.by_key[entry().key]] == ["1", "3"]
    assert corrected.find(HAIKU, "regional", Kind.ON_DEMAND) == known.entries[1]


def test_a_price_that_a_source_dates_before_ours_holds_from_the_day_of_reading() -> None:
    known = PriceList(entries=(entry("1", "5", since="2026-06-01"),))
    (found,) = prices.renewed(known, [entry("2", "6", since="2026-01-01", at="2026-11-22")])
    assert found.since == TODAY


def test_check_finds_what_is_old_what_differs_and_what_is_missing() -> None:
    stale = entry(since="2026-08-01")
    gone = entry(since="2025-01-01", model="anthropic.claude-3-haiku-20240307-v1:0")
    known = PriceList(entries=(stale, gone))
    # From 1 August to 22 November are 113 days.
    assert prices.old(known, TODAY, days=112) == [Finding("old", stale)]
    assert prices.old(known, TODAY, days=113) == []
    said = [entry("1", "5"), entry("2", "5"), entry("1", "1", kind="batch"), entry(model="example.new-v1")]
    assert prices.differing(known, said, TODAY) == [
        Finding("differs", stale, said[1]),
        Finding("missing", said[2]),
    ]


# golden: a small corpus whose ledger is worked out by hand

CORPUS = (
    # document, model, engine, tokens in and out of its job, then what is booked: paid, and saved
    # Haiku 4.5 through a profile of a geography, batch 0.55 and 2.75 per million, on demand 1.1 and 5.5:
    # 12,345 * 0.55 = 6,789.75; 678 * 2.75 = 1,864.5; together 8,654.25 millionths, and as much saved
    ("contract", f"us.{HAIKU}", Engine.BATCH, 12_345, 678, "0.00865425", "0.00865425"),
    # a retry of 3 of its records on demand: 301 * 1.1 = 331.1; 77 * 5.5 = 423.5; 754.6 millionths
    ("contract", f"us.{HAIKU}", Engine.ON_DEMAND, 301, 77, "0.0007546", "0"),
    # Nova Lite, batch 0.03 and 0.12: 98,765 * 0.03 = 2,962.95; 4,321 * 0.12 = 518.52; 3,481.47 millionths
    ("minutes", NOVA, Engine.BATCH, 98_765, 4_321, "0.00348147", "0.00348147"),
    # Mistral Large 24.07 has no batch price of its own: half of 2 and 6, so 1 and 3:
    # 7 * 1 = 7; 1 * 3 = 3; 10 millionths
    ("note", LARGE, Engine.BATCH, 7, 1, "0.00001", "0.00001"),
)


def test_a_small_corpus_costs_what_was_worked_out_by_hand() -> None:
    def booked(_: str, model: str, engine: Engine, read: int, written: int, *__: str) -> Charge:
        return charge(Usage(read, written), model, engine, at="2026-11-22T09:00:00.000Z")

    charges = list(starmap(booked, CORPUS))
    assert charges == [Charge(Decimal(paid), Decimal(saved)) for *_, paid, saved in CORPUS]
    # 0.00865425 + 0.0007546 + 0.00348147 + 0.00001; 0.00865425 + 0.00348147 + 0.00001
    assert sum(charges, Charge()) == Charge(Decimal("0.01290032"), Decimal("0.01214572"))
