import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from batchline import catalog
from batchline.catalog import Account, AccountError
from batchline.models import Engine
from batchline.money.prices import packaged, price
from pydantic import ValidationError

NOVA = "amazon.nova-lite-v1:0"
HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"
PROFILE = f"{ACCOUNT}:application-inference-profile/a1b2c3d4e5f6"
TODAY = date(2026, 11, 22)
MODELS: dict[str, dict[str, Any]] = catalog.load("models.json")["models"]


@pytest.fixture
def adopt() -> Iterator[Any]:
    """Adopt what an account says, until the test is over."""
    yield lambda **said: catalog.adopt(Account(source="a test", read_at="2026-11-22T09:00:00.000Z", **said))
    catalog.adopt(catalog.NO_ACCOUNT)


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
        (PROFILE, "a1b2c3d4e5f6"),
        # A custom model says its base, sometimes with the length of its context.
        (f"{ACCOUNT}:custom-model/{NOVA}:300k/a1b2c3d4e5f6", NOVA),
        (f"{ACCOUNT}:custom-model/example.base-v1/a1b2c3d4e5f6", "example.base-v1"),
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
    assert (lite.context, lite.max_output, lite.batch, lite.flex) == (300_000, 10_000, True, True)
    # Nova Lite's jobs may have 100 GB, others 5 GB.
    assert catalog.limits(f"us.{NOVA}").max_job_bytes == 100 * 10**9
    assert catalog.limits("amazon.nova-micro-v1:0").max_job_bytes == 5 * 10**9


def test_an_unknown_model_works_with_defaults() -> None:
    unknown = catalog.model("example.new-model-v9:0")
    assert not unknown.known
    assert (unknown.context, unknown.max_output, unknown.batch) == (128_000, 4_096, True)
    assert (unknown.flex, unknown.structured_output) == (False, False)
    assert (unknown.invocation_type, unknown.embeds) == ("Converse", False)
    assert catalog.limits("example.new-model-v9:0").min_records == 100


def test_an_embedding_is_no_conversation() -> None:
    titan = catalog.model("amazon.titan-embed-text-v2:0")
    assert (titan.invocation_type, titan.embeds, titan.dimensions) == ("InvokeModel", True, (1024, 512, 256))


def test_looking_up_a_model_twice_gives_the_same() -> None:
    assert catalog.model(NOVA) == catalog.model(NOVA)
    assert catalog.model(f"us.{NOVA}") == catalog.model(NOVA)


# --- what an account says of itself


def test_the_accounts_quotas_come_first(adopt: Any) -> None:
    adopt(models={NOVA: {"concurrent_jobs": 20, "tokens_per_minute": 1_000}})
    assert catalog.limits(NOVA).concurrent_jobs == catalog.limits(f"us.{NOVA}").concurrent_jobs == 20
    assert catalog.limits(NOVA).max_job_bytes == 100 * 10**9
    assert catalog.limits(HAIKU).concurrent_jobs == 100


def test_calls_through_profiles_have_quotas_of_their_own(adopt: Any) -> None:
    adopt(
        models={
            HAIKU: {"tokens_per_minute": 1},
            f"cross-region.{HAIKU}": {"tokens_per_minute": 2},
            f"global.{HAIKU}": {"tokens_per_minute": 3},
        }
    )
    found = [catalog.limits(prefix + HAIKU).tokens_per_minute for prefix in ("", "us.", "jp.", "global.")]
    assert found == [1, 2, 2, 3]
    assert catalog.limits(f"{ACCOUNT}:inference-profile/eu.{HAIKU}").tokens_per_minute == 2


def test_a_profile_that_was_looked_up_leads_to_its_model(adopt: Any) -> None:
    assert not catalog.model(PROFILE).known
    adopt(
        profiles={"a1b2c3d4e5f6": f"us.{HAIKU}"}, models={f"cross-region.{HAIKU}": {"tokens_per_minute": 7}}
    )
    assert catalog.model(PROFILE) == catalog.model(HAIKU)
    assert catalog.limits(PROFILE).tokens_per_minute == 7


def test_an_account_is_written_and_read() -> None:
    account = Account(source="s", read_at="t", models={NOVA: {"concurrent_jobs": 3}}, profiles={"p": NOVA})
    assert Account.load(account.model_dump_json().encode()) == account


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Invalid JSON"),
        ('{"source": "s"}', "read_at: Field required"),
        ('{"source": "s", "read_at": "t", "model": {}}', "model: Extra inputs"),
        ('{"source": "s", "read_at": "t", "models": {"m": {"slots": 3}}}', "models.m.slots: Extra inputs"),
        (
            '{"source": "s", "read_at": "t", "models": {"m": {"min_records": 0}}}',
            "models.m.min_records: Input",
        ),
        (
            '{"source": "s", "read_at": "t", "models": {"global.m": {"max_records": "x"}}}',
            "models.global.m.max",
        ),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_to_do(text: str, said: str) -> None:
    with pytest.raises(AccountError) as caught:
        Account.load(text.encode())
    assert said in str(caught.value)
    assert "batchline limits refresh" in str(caught.value)


# --- what people should know of a model


def test_a_usual_model_needs_no_note() -> None:
    assert catalog.notes(f"us.{NOVA}", TODAY) == []


def test_an_unknown_model_is_said_to_be_one() -> None:
    (note,) = catalog.notes("us.example.new-v1:0", TODAY)
    assert note.startswith("example.new-v1:0 is not in Batchline's data: it works with careful defaults")
    (note,) = catalog.notes(PROFILE, TODAY)
    assert note.startswith(f"{PROFILE} does not say its model: `batchline limits refresh` looks it up.")


def test_a_model_without_calls_of_its_own_needs_a_profile() -> None:
    (note,) = catalog.notes(HAIKU, TODAY)
    assert f"write us.{HAIKU}" in note
    assert catalog.notes(f"us.{HAIKU}", TODAY) == []


def test_retirement_is_said_before_and_after() -> None:
    jamba = "ai21.jamba-1-5-mini-v1:0"
    assert catalog.notes(jamba, TODAY) == ["Bedrock retires Jamba 1.5 Mini on 2026-11-26."]
    (note,) = catalog.notes(jamba, date(2026, 11, 26))
    assert note == "Bedrock has retired Jamba 1.5 Mini on 2026-11-26: choose another."


# --- the data files


def test_what_the_data_files_name_fits_together() -> None:
    known = set(MODELS)
    assert known == set(catalog.known_models())
    assert known <= {one.model for one in packaged().entries}
    assert set(catalog.load("limits.json")["models"]) <= known
    names = [entry["name"] for entry in MODELS.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_known_model_can_be_used(name: str) -> None:
    model, limits = catalog.model(name), catalog.limits(name)
    assert model.known
    assert model.embeds == (model.dialect != catalog.CONVERSE)
    assert 0 <= model.max_output < model.context or name.startswith("meta.llama3-")
    assert (model.max_output > 0) == (not model.embeds)
    assert set(model.one_of) <= set(model.parameters)
    assert not model.profile_only or model.profiles
    assert {f"{one}." for one in model.profiles} <= set(catalog.GEOGRAPHIES)
    assert 0 < limits.min_records < limits.max_records
    assert limits.max_file_bytes <= limits.max_job_bytes
    assert price(name, Engine.ON_DEMAND).basis == "list"
    assert 0 < price(name, Engine.BATCH).input < price(name, Engine.ON_DEMAND).input


def test_an_entry_with_a_key_that_nobody_reads_is_refused() -> None:
    entry = catalog.load("models.json")["default"] | {"surprise": 1}
    with pytest.raises(ValidationError):
        catalog.Model.model_validate({"base_id": "x", "known": True, **json.loads(json.dumps(entry))})


@pytest.mark.parametrize("name", ["models.json", "limits.json"])
def test_data_files_say_where_they_come_from(name: str) -> None:
    assert "20" in catalog.load(name)["source"] or catalog.load(name)["date"].startswith("20")


def test_the_stacks_own_limits_come_before_what_is_known_of_the_account() -> None:
    known = Account.load(
        b'{"source": "s", "read_at": "t", "models": {"amazon.nova-lite-v1:0": {"max_records": 50000}}}'
    )
    limited = known.limited(
        '{"amazon.nova-lite-v1:0": {"concurrent_jobs": 7}, "a.new-one": {"min_records": 10}}'
    )
    assert limited.models == {
        "amazon.nova-lite-v1:0": {"max_records": 50000, "concurrent_jobs": 7},
        "a.new-one": {"min_records": 10},
    }
    assert known.limited("") is known


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "EOF while parsing"),
        ("[]", "used: Input should be an object"),
        ('{"m": {"concurrent_jobs": "many"}}', r"m\.concurrent_jobs: Input should be a valid integer"),
        ('{"m": {"jobs": 3}}', r"models\.m\.jobs: Extra inputs are not permitted"),
    ],
)
def test_limits_that_cannot_be_used_say_where(text: str, said: str) -> None:
    with pytest.raises(AccountError, match=rf"^The parameter Limits cannot be .*{said}.*Deploy with JSON"):
        catalog.NO_ACCOUNT.limited(text)
