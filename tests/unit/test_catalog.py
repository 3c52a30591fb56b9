import pytest
from batchline import catalog
from batchline.models import Engine
from batchline.prices import price

NOVA = "amazon.nova-lite-v1:0"
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("model_id", "base"),
    [
        (NOVA, NOVA),
        (f"us.{NOVA}", NOVA),
        (f"eu.{NOVA}", NOVA),
        (f"apac.{NOVA}", NOVA),
        (f"jp.{NOVA}", NOVA),
        (f"global.{NOVA}", NOVA),
        (f"us-gov.{NOVA}", NOVA),
        (f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}", NOVA),
        (f"{ACCOUNT}:inference-profile/us.{NOVA}", NOVA),
        (f"{ACCOUNT}:inference-profile/global.anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-6"),
        # An application's profile does not say its model.
        (f"{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6", "a1b2c3d4e5f6"),
        # Only whole prefixes are geographies.
        ("usual.model-v1", "usual.model-v1"),
        ("us.us.model", "us.model"),
    ],
)
def test_profiles_and_arns_lead_to_their_model(model_id: str, base: str) -> None:
    assert catalog.base_id(model_id) == base
    assert catalog.model(model_id).base_id == base


def test_profiles_share_their_models_data_and_quotas() -> None:
    lite = catalog.model(f"us.{NOVA}")
    assert lite.known
    assert (lite.context, lite.max_output, lite.batch, lite.flex) == (300_000, 5_000, True, True)
    # Nova Lite's jobs may have 100 GB, others 5 GB.
    assert catalog.limits(f"us.{NOVA}").max_job_bytes == 100 * 10**9
    assert catalog.limits("amazon.nova-micro-v1:0").max_job_bytes == 5 * 10**9


def test_an_unknown_model_works_with_defaults() -> None:
    unknown = catalog.model("example.new-model-v9:0")
    assert not unknown.known
    assert (unknown.context, unknown.max_output, unknown.batch) == (128_000, 4_096, True)
    assert (unknown.flex, unknown.structured_output) == (False, False)
    assert catalog.limits("example.new-model-v9:0").min_records == 100


def test_looking_up_a_model_twice_gives_the_same() -> None:
    assert catalog.model(NOVA) == catalog.model(NOVA)
    assert catalog.model(f"us.{NOVA}") == catalog.model(NOVA)


def test_what_the_data_files_name_fits_together() -> None:
    models = catalog.load("models.json")
    prices = catalog.load("prices.json")
    known = set(models["models"])
    assert {catalog.base_id(name) for name in prices["models"]} == known
    assert set(prices["regional_factor"]) <= known
    assert set(catalog.load("limits.json")["models"]) <= known
    families = {entry["tokens"] for entry in (*models["models"].values(), models["default"])}
    assert families <= set(catalog.load("tokens.json")["families"])


@pytest.mark.parametrize("name", sorted(catalog.load("models.json")["models"]))
def test_every_known_model_can_be_used(name: str) -> None:
    model, limits = catalog.model(name), catalog.limits(name)
    assert model.known
    assert 0 < model.max_output < model.context
    assert 0 < limits.min_records < limits.max_records
    assert limits.max_file_bytes <= limits.max_job_bytes
    assert price(name, Engine.ON_DEMAND).basis == "list"
    assert 0 < price(name, Engine.BATCH).input < price(name, Engine.ON_DEMAND).input


@pytest.mark.parametrize("name", ["models.json", "prices.json", "limits.json", "tokens.json"])
def test_data_files_say_where_they_come_from(name: str) -> None:
    assert "20" in catalog.load(name)["source"] or catalog.load(name)["date"].startswith("20")
