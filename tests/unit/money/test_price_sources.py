"""Sources of prices are read into the same entries, whatever their shape."""

import json
from datetime import date
from typing import Any

import pytest
from batchline.money import price_sources
from batchline.money.price_sources import SourceError, Usage
from batchline.money.prices import Entry, Kind

TODAY = date(2026, 11, 22)
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-micro-v1:0"


def shown(entries: list[Entry]) -> list[tuple[str, ...]]:
    return [(one.model, one.group, one.kind.value, *map(str, one.amounts[:2])) for one in entries]


# litellm


def litellm(**models: dict[str, Any]) -> list[Entry]:
    listed = {name: {"litellm_provider": "bedrock_converse"} | fields for name, fields in models.items()}
    return price_sources.litellm(json.dumps(listed).encode(), "1.2.3", TODAY)


def test_a_model_of_litellm_has_a_price_of_each_kind() -> None:
    found = litellm(
        **{
            NOVA: {
                "input_cost_per_token": 3.5e-08,
                "output_cost_per_token": 1.4e-07,
                "input_cost_per_token_batches": 1.75e-08,
                "output_cost_per_token_batches": 7e-08,
                "input_cost_per_token_flex": 1.75e-08,
                "output_cost_per_token_flex": 7e-08,
                "input_cost_per_token_priority": 6.125e-08,
                "output_cost_per_token_priority": 2.45e-07,
                "cache_read_input_token_cost": 8.75e-09,
                "input_cost_per_token_above_1k_tokens_of_audio": 9e-08,
            }
        }
    )
    assert shown(found) == [
        (NOVA, "base", "on_demand", "0.035", "0.14"),
        (NOVA, "base", "batch", "0.0175", "0.07"),
        (NOVA, "base", "flex", "0.0175", "0.07"),
        (NOVA, "base", "priority", "0.06125", "0.245"),
        (NOVA, "base", "cache_read", "0.00875", "0"),
    ]
    assert {(one.source, one.since, one.read) for one in found} == {("litellm 1.2.3", TODAY, TODAY)}


def test_long_prompts_have_prices_of_their_own() -> None:
    found = litellm(
        **{
            SONNET: {
                "input_cost_per_token": 3e-06,
                "output_cost_per_token": 1.5e-05,
                "input_cost_per_token_batches": 1.5e-06,
                "output_cost_per_token_batches": 7.5e-06,
                "cache_creation_input_token_cost_above_1hr": 6e-06,
                "input_cost_per_token_above_200k_tokens": 6e-06,
                "output_cost_per_token_above_200k_tokens": 2.25e-05,
                "input_cost_per_token_above_200k_tokens_batches": 3e-06,
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens": 1.2e-05,
            }
        }
    )
    assert [(one.kind.value, *map(str, one.amounts)) for one in found] == [
        ("on_demand", "3", "15", "0"),
        ("batch", "1.5", "7.5", "0"),
        ("cache_write_1h", "6", "0", "0"),
        ("on_demand", "6", "22.5", "200000"),
        ("batch", "3", "7.5", "200000"),  # nobody says what an answer costs, so as much as to short ones
        ("cache_write_1h", "12", "0", "200000"),
    ]


def priced(read: float, written: float, **more: float) -> dict[str, Any]:
    return {"input_cost_per_token": read, "output_cost_per_token": written} | more


def test_what_all_geographies_charge_alike_is_one_entry() -> None:
    regional = priced(1.1e-06, 5.5e-06)
    found = litellm(
        **{
            HAIKU: priced(1e-06, 5e-06),
            f"global.{HAIKU}": priced(1e-06, 5e-06),
            f"us.{HAIKU}": regional,
            f"eu.{HAIKU}": regional
            | {"input_cost_per_token_batches": 5.5e-07, "output_cost_per_token_batches": 0},
            f"us-gov.{HAIKU}": priced(1.2e-06, 6e-06),
        }
    )
    assert shown(found) == [
        (HAIKU, "base", "on_demand", "1", "5"),
        (HAIKU, "regional", "on_demand", "1.1", "5.5"),
        (HAIKU, "regional", "batch", "0.55", "0"),
        (HAIKU, "us-gov", "on_demand", "1.2", "6"),
    ]


def test_geographies_that_differ_have_entries_of_their_own() -> None:
    found = litellm(
        **{
            NOVA: priced(3.5e-08, 1.4e-07),
            f"us.{NOVA}": priced(3.5e-08, 1.4e-07),
            f"eu.{NOVA}": priced(4.6e-08, 1.84e-07),
        }
    )
    assert shown(found) == [
        (NOVA, "base", "on_demand", "0.035", "0.14"),
        (NOVA, "eu", "on_demand", "0.046", "0.184"),
    ]


def test_a_model_with_a_global_profile_only_costs_that() -> None:
    assert shown(litellm(**{"global.zai.glm-9": priced(1e-06, 2e-06)})) == [
        ("zai.glm-9", "base", "on_demand", "1", "2")
    ]


def test_the_noise_of_floats_is_no_price() -> None:
    assert shown(litellm(**{NOVA: priced(1.9800000000000003e-07, 0)}))[0][3] == "0.198"


def test_prices_of_single_regions_and_of_others_are_passed_over() -> None:
    listed = {
        f"bedrock/eu-west-1/{NOVA}": {"litellm_provider": "bedrock"} | priced(1e-06, 1e-06),
        f"512-x-512/50-steps/{NOVA}": {"litellm_provider": "bedrock", "output_cost_per_image": 0.06},
        "gpt-4o": {"litellm_provider": "openai"} | priced(1e-06, 1e-06),
        "stability.stable-image-core-v1:0": {"litellm_provider": "bedrock", "output_cost_per_image": 0.04},
    }
    found = price_sources.litellm(json.dumps(listed).encode(), "1.2.3", TODAY)
    assert shown(found) == [("stability.stable-image-core-v1:0", "base", "image", "0", "0.04")]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_file_of_litellm_that_is_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(SourceError, match=r"litellm 9: its price file is not what it was"):
        price_sources.litellm(data, "9", TODAY)


# genai-prices

GENAI = """
import datetime
from .types import *

providers: list[Provider] = [
    Provider(id='openai', models=[]),
    Provider(id='aws', models=[
        ModelInfo(
            id='global.anthropic.claude-haiku-4-5-20251001-v1:0',
            match=ClauseOr(or_=[ClauseContains(contains='haiku')]),
            prices=ModelPrice(
                input_mtok=TieredPrices(base=Decimal('1'), tiers=[Tier(start=200000, price=Decimal('2'))]),
                cache_write_mtok=Decimal('1.25'),
                output_mtok=Decimal('5'),
            ),
        ),
        ModelInfo(
            id='regional.anthropic.claude-haiku-4-5-20251001-v1:0',
            prices=ModelPrice(input_mtok=Decimal('1.1'), output_mtok=Decimal('5.5')),
        ),
        ModelInfo(
            id='regional.anthropic.claude-3-haiku-20240307-v1:0',
            prices=ModelPrice(input_mtok=Decimal('0.25'), output_mtok=Decimal('1.25')),
        ),
        ModelInfo(
            id='global.anthropic.claude-opus-4-6-v1:0',
            prices=[
                ConditionalPrice(prices=ModelPrice(input_mtok=Decimal('9'), output_mtok=Decimal('9'))),
                ConditionalPrice(
                    constraint=StartDateConstraint(start_date=datetime.date(2026, 8, 21)),
                    prices=ModelPrice(input_mtok=Decimal('5'), output_mtok=Decimal('25')),
                ),
                ConditionalPrice(
                    constraint=StartDateConstraint(start_date=datetime.date(2027, 8, 21)),
                    prices=ModelPrice(input_mtok=Decimal('1'), output_mtok=Decimal('1')),
                ),
            ],
        ),
    ]),
]
"""


def test_genai_prices_is_read_as_data_by_the_ids_of_the_catalog() -> None:
    found = price_sources.genai_prices(GENAI, "0.1", TODAY)
    assert sorted(shown(found)) == [
        ("anthropic.claude-3-haiku-20240307-v1:0", "base", "on_demand", "0.25", "1.25"),
        (HAIKU, "base", "cache_write", "1.25", "0"),
        (HAIKU, "base", "on_demand", "1", "5"),
        (HAIKU, "regional", "on_demand", "1.1", "5.5"),
        ("anthropic.claude-opus-4-6-v1", "base", "on_demand", "5", "25"),
    ]
    (opus,) = [one for one in found if "opus" in one.model]
    assert (opus.since, opus.read, opus.source) == (date(2026, 8, 21), TODAY, "genai-prices 0.1")


@pytest.mark.parametrize("source", ["providers = (", "x = 1", "providers: list = [Provider(id='openai')]"])
def test_data_of_genai_prices_that_is_something_else_is_refused(source: str) -> None:
    with pytest.raises(SourceError, match=r"genai-prices 9: its data is not what it was"):
        price_sources.genai_prices(source, "9", TODAY)


# AWS's price lists


@pytest.mark.parametrize(
    ("usagetype", "read"),
    [
        ("USE1-NovaMicro-input-tokens-batch", ("NovaMicro", "input", Kind.BATCH, False)),
        ("USE1-NovaMicro-output-tokens", ("NovaMicro", "output", Kind.ON_DEMAND, False)),
        ("APN1-NovaPro-input-tokens-flex", ("NovaPro", "input", Kind.FLEX, False)),
        ("NovaPro-output-tokens-priority", ("NovaPro", "output", Kind.PRIORITY, False)),
        (
            "USE1-Llama4-Maverick-17B-input-tokens-batch",
            ("Llama4-Maverick-17B", "input", Kind.BATCH, False),
        ),
        (
            "USE1-Nova2.0Lite-input-tokens-cross-region-global-batch",
            ("Nova2.0Lite", "input", Kind.BATCH, True),
        ),
        (
            "USE1-TitanEmbeddingV2-Text-input-tokens-batch",
            ("TitanEmbeddingV2-Text", "input", Kind.BATCH, False),
        ),
        ("USE1-NovaLite-cache-read-input-token-count", ("NovaLite", "input", Kind.CACHE_READ, False)),
        ("USE1-MP:USE1_InputTokenCount_Batch-Units", ("", "input", Kind.BATCH, False)),
        ("USE1-MP:USE1_InputTokenCount_Global_Batch-Units", ("", "input", Kind.BATCH, True)),
        ("USE1-MP:USE1_OutputTokenCount_Global-Units", ("", "output", Kind.ON_DEMAND, True)),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", ("", "input", Kind.CACHE_READ, False)),
        ("USE1-MP:USE1_CacheWrite1hInputTokenCount-Units", ("", "input", Kind.CACHE_WRITE_1H, False)),
    ],
)
def test_a_usage_type_says_what_is_charged(usagetype: str, read: tuple[str, str, Kind, bool]) -> None:
    name, direction, kind, everywhere = read
    assert price_sources.usage(usagetype) == Usage(
        name=name, direction=direction, kind=kind, everywhere=everywhere
    )


@pytest.mark.parametrize(
    "usagetype",
    [
        "USE1-NovaMicro-input-tokens-custom-model",
        "USE1-NovaMicro-input-tokens-latency-optimized",
        "USE1-NovaPro-ProvisionedThroughput-ModelUnits",
        "USE1-Guardrail-ContentPolicyUnitsConsumed",
        "USE1-MP:USE1_InputTokenCount_LCtx-Units",
        "USE1-NovaLite-cache-read-input-token-count-batch",
        "USE1-NovaLite-input-tokens-batch-flex",
        "",
    ],
)
def test_usage_that_is_about_something_else_is_passed_over(usagetype: str) -> None:
    assert price_sources.usage(usagetype) is None


def offer(*products: tuple[dict[str, str], str, str]) -> dict[str, Any]:
    """An offer file as AWS shapes it: attributes of products, and their unit and price beside them."""
    terms = {
        f"SKU{n}": {
            f"SKU{n}.JRTCKXETXF": {
                "effectiveDate": "2026-11-01T00:00:00Z",
                "priceDimensions": {
                    f"SKU{n}.JRTCKXETXF.6YS6EN2CT7": {"unit": unit, "pricePerUnit": {"USD": amount}}
                },
            }
        }
        for n, (_, unit, amount) in enumerate(products)
    }
    listed = {f"SKU{n}": {"sku": f"SKU{n}", "attributes": one} for n, (one, *_) in enumerate(products)}
    return {"formatVersion": "v1.0", "products": listed, "terms": {"OnDemand": terms}}


def own(usagetype: str, amount: str, **attributes: str) -> tuple[dict[str, str], str, str]:
    return {"usagetype": usagetype, "regionCode": "us-east-1"} | attributes, "1K tokens", amount


def claude(usagetype: str, amount: str) -> tuple[dict[str, str], str, str]:
    name = "Claude Sonnet 4.5 (Amazon Bedrock Edition)"
    return {"usagetype": f"USE1-MP:USE1_{usagetype}-Units", "servicename": name}, "1M tokens", amount


def test_offer_files_become_prices_per_million_tokens() -> None:
    bedrock = offer(
        own("USE1-NovaMicro-input-tokens", "0.000035", model="Nova Micro"),
        own("USE1-NovaMicro-output-tokens", "0.00014", model="Nova Micro"),
        own("USE1-NovaMicro-input-tokens-batch", "0.0000175", model="Nova Micro"),
        own("USE1-NovaMicro-output-tokens-batch", "0.00007", model="Nova Micro"),
        own("USE1-NovaMicro-cache-read-input-token-count", "0.00000875", model="Nova Micro"),
        own("USE1-Llama4-Maverick-17B-input-tokens-batch", "0.00012"),
        own("USE1-Llama4-Maverick-17B-output-tokens-batch", "0.000485"),
        own("USE1-Llama4-Scout-17B-input-tokens-batch", "0.000085"),  # half of a pair is no price
        own("USE1-TitanEmbeddingV2-Text-input-tokens-batch", "0.00001"),
        own("USE1-Strange-input-tokens", "0.5"),
    )
    marketplace = offer(
        claude("InputTokenCount", "3.3"),
        claude("OutputTokenCount", "16.5"),
        claude("InputTokenCount_Batch", "1.65"),
        claude("OutputTokenCount_Batch", "8.25"),
        claude("InputTokenCount_Global_Batch", "1.5"),
        claude("OutputTokenCount_Global_Batch", "7.5"),
    )
    found = price_sources.aws([bedrock, marketplace], "us-east-1", TODAY)
    assert sorted(shown(found)) == [
        ("amazon.nova-micro-v1:0", "base", "batch", "0.0175", "0.07"),
        ("amazon.nova-micro-v1:0", "base", "cache_read", "0.00875", "0"),
        ("amazon.nova-micro-v1:0", "base", "on_demand", "0.035", "0.14"),
        ("amazon.titan-embed-text-v2:0", "base", "batch", "0.01", "0"),
        (SONNET, "base", "batch", "1.5", "7.5"),
        (SONNET, "us", "batch", "1.65", "8.25"),
        (SONNET, "us", "on_demand", "3.3", "16.5"),
        ("meta.llama4-maverick-17b-instruct-v1:0", "base", "batch", "0.12", "0.485"),
    ]
    assert {one.source for one in found} == {"AWS Price List us-east-1"}


@pytest.mark.parametrize(
    ("region", "group"),
    [
        ("ap-northeast-1", "jp"),
        ("ap-southeast-2", "au"),
        ("ap-south-1", "apac"),
        ("eu-central-1", "eu"),
        ("us-gov-west-1", "us-gov"),
    ],
)
def test_beside_a_global_price_a_region_names_that_of_its_geography(region: str, group: str) -> None:
    lists = [offer(claude("InputTokenCount", "3"), claude("OutputTokenCount", "9"))]
    lists += [offer(claude("InputTokenCount_Global", "2"), claude("OutputTokenCount_Global", "8"))]
    assert {one.group for one in price_sources.aws(lists, region, TODAY)} == {"base", group}
    assert {one.group for one in price_sources.aws(lists[:1], region, TODAY)} == {"base"}


def test_lists_without_a_price_that_is_understood_are_refused() -> None:
    with pytest.raises(SourceError, match="price lists of us-east-1 name no price"):
        price_sources.aws([offer(own("USE1-Strange-input-tokens", "0.5")), {}], "us-east-1", TODAY)
