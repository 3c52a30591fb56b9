from decimal import Decimal

import pytest
from batchline.models import Charge, Engine, Tier, Usage
from batchline.prices import charge, price

NOVA = "amazon.nova-lite-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
LARGE = "mistral.mistral-large-2407-v1:0"  # no batch price is published

# 1,234,567 tokens read and 89,012 written.
USAGE = Usage(1_234_567, 89_012)


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
        # No factor is published for Nova Lite.
        (f"us.{NOVA}", Engine.ON_DEMAND, Tier.DEFAULT, "0.0954369"),
    ],
)
def test_costs_to_the_last_digit(model: str, engine: Engine, tier: Tier, cost: str) -> None:
    assert price(model, engine, tier).cost(USAGE) == Decimal(cost)


def test_a_charge_says_what_was_saved() -> None:
    # 0.0954369 on demand - 0.04771845 in a batch
    assert charge(USAGE, NOVA, Engine.BATCH) == Charge(Decimal("0.04771845"), Decimal("0.04771845"))
    assert charge(USAGE, NOVA, Engine.ON_DEMAND) == Charge(Decimal("0.0954369"), Decimal(0))
    assert charge(USAGE, NOVA, Engine.ON_DEMAND, Tier.FLEX) == charge(USAGE, NOVA, Engine.BATCH)


def test_a_geography_with_a_price_of_its_own() -> None:
    tokyo = price("jp.amazon.nova-2-lite-v1:0", Engine.ON_DEMAND)
    assert (tokyo.input, tokyo.output, tokyo.basis) == (Decimal("0.396"), Decimal("3.311"), "list")
    # Without one: 0.3 and 2.5, times 1.1.
    ohio = price("us.amazon.nova-2-lite-v1:0", Engine.ON_DEMAND)
    assert (ohio.input, ohio.output) == (Decimal("0.33"), Decimal("2.75"))


def test_an_arn_costs_what_its_profile_costs() -> None:
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.{HAIKU}"
    assert price(arn, Engine.BATCH) == price(f"us.{HAIKU}", Engine.BATCH)


def test_the_basis_says_how_sure_a_price_is() -> None:
    assert price(NOVA, Engine.BATCH).basis == "list"
    assert price(LARGE, Engine.BATCH).basis == "half"
    assert price(LARGE, Engine.ON_DEMAND).basis == "list"
    unknown = price("example.model-v1", Engine.BATCH)
    assert (unknown.cost(USAGE), unknown.basis) == (Decimal(0), "unknown")


def test_charges_of_parts_add_up_to_the_charge_of_the_whole() -> None:
    parts = [Usage(7, 3), Usage(1_000_003, 11), Usage(0, 1)]
    whole = sum(parts, Usage())
    each = sum((charge(one, HAIKU, Engine.BATCH) for one in parts), Charge())
    assert each == charge(whole, HAIKU, Engine.BATCH)
