"""`batchline recommend`: models that answer differently well, at what they cost."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from batchline.aws import clients, trial
from batchline.models import Usage
from botocore.client import BaseClient

from tests.integration.cli.conftest import Cli, Said
from tests.integration.fake_bedrock import Account, Say, prompt_of
from tests.integration.world import INBOX

MICRO, LITE, PRO = "us.amazon.nova-micro-v1:0", "us.amazon.nova-lite-v1:0", "us.amazon.nova-pro-v1:0"
MODELS = f"{MICRO},{LITE},{PRO}"
SCHEMA = {"type": "object", "required": ["n", "kind"], "properties": {"n": {"type": "integer"}}}


class Models:
    """A Bedrock whose models say different things: `said` by model, for each number in a row."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.asked: list[str] = []
        self.said: dict[str, Any] = {}

    def converse(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked["modelId"])
        number = int(prompt_of(asked).split()[-1])
        self.account.answer = lambda _name, _body: self.said[asked["modelId"]](number)
        return self.account.converse(**asked)


def right(number: int) -> Say:
    return Say(json.dumps({"n": number, "kind": "row"}), usage=Usage(100, 10))


def half_right(number: int) -> Say:
    return Say(json.dumps({"n": number, "kind": "line"}), usage=Usage(100, 10))


@pytest.fixture
def models(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Models:
    made = Models(cli.world.bedrock)
    made.said = {MICRO: half_right, LITE: right, PRO: right}
    monkeypatch.setattr(clients, "bedrock_runtime", lambda: made)
    monkeypatch.setattr(trial, "CONCURRENCY", 1)  # the fake answers one call at a time
    return made


def recommend(cli: Cli, folder: Path, *options: str) -> Said:
    (folder / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(30)), encoding="utf-8")
    said = {"model": LITE, "prompt": "Of {{ row.a }}", "chunk": {"by": "row"}, "output": {"schema": SCHEMA}}
    (folder / "facts.yaml").write_text(json.dumps(said), encoding="utf-8")
    file, table = str(folder / "facts.yaml"), str(folder / "rows.csv")
    return cli.run("recommend", table, "-p", file, "--models", MODELS, "--sample", "10", *options)


def test_the_cheapest_good_model_is_named(cli: Cli, models: Models, tmp_path: Path) -> None:
    found = recommend(cli, tmp_path, "--yes", "--json")
    assert found.code == 0
    assert found.json["recommended"] == LITE
    by_model = {one["model"]: one for one in found.json["models"]}
    assert {name: one["agreement"] for name, one in by_model.items()} == {MICRO: 0.5, LITE: 1, PRO: 1}
    # 100 in and 10 out: in batch 0.03 * 100 + 0.12 * 10 = 4.2 millionths a record, 30 of them.
    assert Decimal(by_model[LITE]["usd_per_document"]) == Decimal("0.000126")
    assert (by_model[LITE]["valid"], by_model[LITE]["answered"]) == (1, 10)
    assert sorted(models.asked) == sorted([MICRO, LITE, PRO] * 10)
    assert recommend(cli, tmp_path, "--yes", "--quality", "0.5", "--json").json["recommended"] == MICRO


def test_people_see_a_table_and_the_price_beforehand(cli: Cli, models: Models, tmp_path: Path) -> None:
    said = recommend(cli, tmp_path, "--yes")
    assert "10 records for each of 3 models: about 0." in said.err
    assert f"{LITE} is the cheapest that reaches 0.9 by agreement with the reference." in said.out
    (line,) = [one for one in said.lines if one.startswith(PRO)]
    assert line.split()[1:4] == ["10/10", "100%", "reference"]


def test_nothing_is_asked_without_a_yes(cli: Cli, models: Models, tmp_path: Path) -> None:
    said = recommend(cli, tmp_path)  # nobody is there to answer
    assert said.code != 0
    assert "about 0." in said.err
    assert models.asked == []


def test_nothing_is_written(
    cli: Cli, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.pipeline("facts", chunk={"by": "row"}, prompt="Of {{ row.a }}")
    cli.upload("inbox/facts/rows.csv", "a\n1\n2\n")
    calls: list[str] = []
    original = BaseClient._make_api_call

    def call(client: BaseClient, operation: str, parameters: Any) -> Any:
        calls.append(operation)
        return original(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    asked = ["-p", "facts", "--models", PRO, "--yes"]
    assert cli.run("recommend", f"s3://{INBOX}/inbox/facts", *asked).code == 0
    assert {"HeadObject", "ListObjectsV2"} < set(calls)
    reads = ("Get", "BatchGet", "Head", "List", "Query", "Describe")
    assert [one for one in calls if not one.startswith(reads)] == []


def test_errors_of_a_model_are_shown_and_the_others_go_on(cli: Cli, models: Models, tmp_path: Path) -> None:
    models.said[MICRO] = lambda _number: Say(error=403)
    models.said[LITE] = lambda _number: Say("no JSON at all")
    found = recommend(cli, tmp_path, "--yes", "--json")
    by_model = {one["model"]: one for one in found.json["models"]}
    assert (by_model[MICRO]["failures"], by_model[MICRO]["answered"]) == ({"MODEL_ERROR": 10}, 0)
    assert (by_model[LITE]["failures"], by_model[LITE]["valid"]) == ({"ANSWER_INVALID": 10}, 0)
    assert found.json["recommended"] == PRO
    assert f"{MICRO}: 10 MODEL_ERROR. The first: 403: " in found.err


def test_a_throttled_call_is_made_again(
    cli: Cli, models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchline.pacing.backoff", lambda _tried, _chance: 0.0)
    refused: set[int] = set()

    def busy(number: int) -> Say:
        if number in refused:
            return right(number)
        refused.add(number)
        return Say(error=429)

    models.said[LITE] = busy
    found = recommend(cli, tmp_path, "--yes", "--json")
    by_model = {one["model"]: one for one in found.json["models"]}
    assert (by_model[LITE]["answered"], len(refused)) == (10, 10)


def test_known_answers_count_before_the_reference(cli: Cli, models: Models, tmp_path: Path) -> None:
    lines = [
        json.dumps({"document": "rows.csv", "record": n, "answer": {"n": n, "kind": "line"}}) for n in (3, 7)
    ]
    (tmp_path / "known.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = recommend(cli, tmp_path, "--yes", "--json", "--answers", str(tmp_path / "known.jsonl"))
    by_model = {one["model"]: one for one in found.json["models"]}
    assert {name: one["correctness"] for name, one in by_model.items()} == {MICRO: 1, LITE: 0.5, PRO: 0.5}
    assert found.json["recommended"] == MICRO


def test_exit_code_1_if_no_model_is_good_enough(cli: Cli, models: Models, tmp_path: Path) -> None:
    models.said[PRO] = models.said[LITE] = half_right
    lines = json.dumps({"document": "rows.csv", "answer": {"n": 0, "kind": "row"}})
    (tmp_path / "known.jsonl").write_text(lines, encoding="utf-8")
    said = recommend(cli, tmp_path, "--yes", "--answers", str(tmp_path / "known.jsonl"))
    assert (said.code, "No model reaches a quality of 0.9" in said.out) == (1, True)
