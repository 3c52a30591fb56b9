"""`batchline models` and `batchline limits`: what is shown, and what a refresh keeps."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from batchline import catalog
from batchline.aws import account, clients
from batchline.aws.account import NotAllowed, Source
from batchline.aws.objects import Work
from batchline.catalog import Account

from tests.integration.cli.conftest import Cli, run
from tests.integration.world import WORK

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6"


@pytest.fixture(autouse=True)
def no_account() -> Iterator[None]:
    yield
    catalog.adopt(catalog.NO_ACCOUNT)


def test_models_are_listed_with_their_prices() -> None:
    found = {one["id"]: one for one in run("models", "--json").json["models"]}
    assert set(found) == set(catalog.known_models())
    price = found[HAIKU]["price"]
    assert price["on_demand"] == {"input": "1", "output": "5", "basis": "list"}
    assert price["batch"] == {"input": "0.5", "output": "2.5", "basis": "list"}
    assert "batch" not in found["anthropic.claude-opus-4-8"]["price"]
    shown = run("models", width=160)
    (line,) = [one for one in shown.lines if one.startswith(HAIKU)]
    assert line.split()[1:] == ["200,000", "64,000", "1/5", "–", "0.5/2.5", "sees"]


def test_an_id_is_explained() -> None:
    found = run("models", f"us.{HAIKU}", "--json").json
    assert (found["model"], found["geography"], found["known"]) == (HAIKU, "us", True)
    assert found["price"]["batch"] == {"input": "0.55", "output": "2.75", "basis": "list"}
    assert found["limits"]["min_records"] == 100


def test_an_unknown_id_is_said_to_be_one() -> None:
    said = run("models", "example.new-v1:0", width=200)
    assert "example.new-v1:0 is not in Batchline's data" in said.out
    assert run("models", "example.new-v1:0", "--json").json["price"]["on_demand"]["basis"] == "unknown"


def test_a_profile_is_looked_up(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setattr(Source, "profile", lambda _self, _arn: f"us.{HAIKU}")
    assert run("models", PROFILE, "--json").json["model"] == HAIKU


def test_limits_say_their_source(cli: Cli) -> None:
    found = {one["model"]: one for one in run("limits", "--json").json["limits"]}
    assert (found[HAIKU]["source"], found[HAIKU]["concurrent_jobs"]) == ("data file", 100)
    own = Account(source="s", read_at="2026-11-22T09:00:00.000Z", models={HAIKU: {"concurrent_jobs": 7}})
    account.save(Work(clients.s3(), WORK), own)
    found = {one["model"]: one for one in run("limits", "--json").json["limits"]}
    assert (found[HAIKU]["source"], found[HAIKU]["concurrent_jobs"]) == ("account", 7)
    assert "Read on 2026-11-22: s." in run("limits").err


def test_a_refresh_keeps_what_it_has_read(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Account(source="s", read_at="t", models={HAIKU: {"concurrent_jobs": 7}}, profiles={"p": HAIKU})
    monkeypatch.setattr(Source, "read", lambda _self, _now: own)
    assert "Kept 1 models" in run("limits", "refresh").out
    assert json.loads(cli.world.object(account.KEY))["profiles"] == {"p": HAIKU}


def test_a_refresh_without_permission_names_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_asked: Any) -> Account:
        raise NotAllowed("it needs the IAM action servicequotas:ListServiceQuotas")

    monkeypatch.setattr(Source, "read", denied)
    said = run("limits", "refresh")
    assert (said.code, "servicequotas:ListServiceQuotas" in said.err) == (2, True)
