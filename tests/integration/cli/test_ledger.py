"""`batchline costs` by what somebody asks for, exported, held against manifests and against AWS's books."""

import csv
import io
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from arro3.io import read_parquet
from batchline.aws import clients, dynamo
from batchline.aws.account import NotAllowed
from batchline.aws.cost_explorer import CostExplorer, NoAnswer
from batchline.models import Usage
from botocore.stub import Stubber

from tests.integration.cli.conftest import ROWS, Cli, open_cli
from tests.integration.fake_bedrock import Say, prompt_of

# By hand, Nova Lite at 0.06 and 0.24 USD a million: an answer takes 100 tokens in and 20 out, on demand
# 0.0000108 USD, in a batch half of it. 120 of them in a batch: 0.000648.
BATCH, SINGLE = "0.000648", "0.0000108"

BY_DOCUMENT = ("costs", "--by", "document")


@pytest.fixture(scope="module")
def done() -> Iterator[Cli]:
    """A batch of 120 records of one team, and a note on demand of another, on one day. No test changes it."""
    with open_cli() as cli:
        asked: list[Any] = []
        change = cli.world.calls

        def listen(name: str, parameters: Any, reply: Any) -> Any:
            if name == "bedrock.CreateModelInvocationJob":
                asked.append(parameters["tags"])
            return reply

        change.change = listen
        tags = {"team": "legal", "env": "prod"}
        cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}", tags=tags)
        cli.pipeline("notes", tags={"team": "tax"})
        cli.upload("inbox/rows/table.csv", ROWS)
        cli.settle()
        cli.upload("inbox/notes/a.txt", "A short note.")
        cli.settle()
        (sent,) = asked
        assert {one["key"]: one["value"] for one in sent} == tags | {
            "batchline:job": next(one["job_id"] for one in cli.world.jobs() if one["engine"] == "batch")
        }
        yield cli


def by(done: Cli, *names: str) -> list[tuple[str, ...]]:
    options = [word for name in names for word in ("--by", name)]
    found = done.run("--json", "costs", *options).json["lines"]
    return [(*(one[name] for name in names), one["cost_usd"]) for one in found]


def test_costs_are_added_up_by_what_is_asked_for(done: Cli) -> None:
    assert by(done, "day") == [("2026-11-22", "0.0006588")]
    assert by(done, "month", "engine") == [
        ("2026-11", "batch", BATCH),
        ("2026-11", "on_demand", SINGLE),
    ]
    assert by(done, "pipeline") == [("notes", SINGLE), ("rows", BATCH)]
    assert by(done, "tag") == [("env=prod, team=legal", BATCH), ("team=tax", SINGLE)]
    assert by(done, "tag:env") == [("(none)", SINGLE), ("prod", BATCH)]
    documents = {one["source"]["key"]: one["document_id"] for one in done.world.documents()}
    assert sorted(by(done, "document")) == sorted(
        [(documents["inbox/rows/table.csv"], BATCH), (documents["inbox/notes/a.txt"], SINGLE)]
    )


def test_a_table_by_tag_has_its_sum(done: Cli) -> None:
    said = done.run("costs", "--by", "tag:team", width=100)
    assert said.code == 0
    spent = {one["engine"]: one["overhead_usd"] for one in done.world.jobs()}
    batch, asked, both = (f"{one:.9f}" for one in (spent["batch"], spent["on_demand"], sum(spent.values())))
    assert [line.split() for line in said.lines[2:5]] == [
        ["legal", "1", "12,000", "2,400", "0.0006480", batch, "0.0006480"],
        ["tax", "1", "100", "20", "0.0000108", asked, "0"],
        ["total", "2", "12,100", "2,420", "0.0006588", both, "0.0006480"],
    ]


def test_a_document_stands_beside_its_estimate(done: Cli) -> None:
    """120 records of 1,678 tokens, a quarter of 1,024 in each answer: 0.00373674; it cost 82.66 % less."""
    names = {one["source"]["key"]: one["document_id"] for one in done.world.documents()}
    table = names["inbox/rows/table.csv"]
    rows = {one["document"]: one for one in csv.DictReader(io.StringIO(done.run(*BY_DOCUMENT, "--csv").out))}
    assert (rows[table]["estimate_usd"], rows[table]["cost_usd"]) == ("0.00373674", BATCH)
    assert rows[table]["estimate_error"] == "-0.827"
    (line,) = [one.split() for one in done.run(*BY_DOCUMENT, width=120).lines if one.startswith(table)]
    (spent,) = [one["overhead_usd"] for one in done.world.jobs() if one["engine"] == "batch"]
    figures = ["1", "12,000", "2,400", "0.00373674", "0.00064800", "-82.7%", f"{spent:.9f}", "0.00064800"]
    assert line[1:] == figures
    # Of a part of a cost nobody can tell how well it was estimated; here the part is all.
    listed = done.run("--json", *BY_DOCUMENT, "--pipeline", "rows").json["lines"]
    assert [(one["document"], one["estimate_error"]) for one in listed] == [(table, "-0.827")]


def test_what_nobody_knows_is_refused(done: Cli) -> None:
    said = done.run("costs", "--by", "pipelin")
    assert (said.code, "did you mean pipeline?" in said.err) == (2, True)
    assert done.run("--json", "costs", "--csv").code == 2
    assert done.run("costs", "--reconcile", "--by", "day").code == 2


def test_exports_hold_the_same_to_the_last_digit(done: Cli, tmp_path: Path) -> None:
    file = tmp_path / "costs.parquet"
    said = done.run("costs", "--csv", "--parquet", str(file))
    rows = {one["pipeline"]: one for one in csv.DictReader(io.StringIO(said.out))}
    assert (rows["rows"]["cost_usd"], rows["rows"]["input_price"]) == (BATCH, "0.03")
    assert rows["rows"]["tags"] == "env=prod, team=legal"
    assert rows["notes"]["cost_usd"] == SINGLE
    assert (rows["rows"]["region"], rows["rows"]["list_input_price"]) == ("us-east-1", "0.06")
    table = read_parquet(str(file)).read_all()
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    assert sum(columns["cost_usd"]) == Decimal("0.0006588")
    assert sum(columns["input_tokens"]) == 12_100
    summed = tmp_path / "day.parquet"
    done.run("costs", "--by", "day", "--parquet", str(summed))
    assert read_parquet(str(summed)).read_all().column("day").to_pylist() == ["2026-11-22"]


def test_every_job_equals_its_manifest_to_the_token(done: Cli) -> None:
    said = done.run("costs", "--reconcile", width=120)
    assert said.code == 0
    assert "2 of 2 jobs equal their manifest to the token." in said.out
    assert "12,000, 2,400" in said.out
    # Cost Explorer's books are empty here.
    (day,) = [line.split() for line in said.lines if line.startswith("2026-11-22 ")]
    assert day == ["2026-11-22", "0.0006588", "0", "-0.0006588"]


def test_a_ledger_that_was_changed_is_found_out(done: Cli) -> None:
    (row,) = [one for one in done.world.costs("day#2026-11-22") if one["pipeline"] == "rows"]
    table = done.stacks.known["batchline"]["CostsTable"]
    dynamo.put_many(clients.dynamodb(), table, [row | {"input_tokens": row["input_tokens"] + 1}])
    try:
        said = done.run("--json", "costs", "--reconcile")
        assert said.code == 1
        (wrong,) = [one for one in said.json["jobs"] if one["difference"]["input_tokens"]]
        assert (wrong["job_id"], wrong["difference"]["input_tokens"]) == (row["job_id"], 1)
    finally:
        dynamo.put_many(clients.dynamodb(), table, [row])


# months


def test_a_month_that_is_over_is_added_up_once_and_read_so(cli: Cli) -> None:
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}", tags={"team": "legal"})
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    fresh = cli.run("--json", "costs", "--months", "2", "--by", "month").json["lines"]
    cli.world.clock.advance(12 * 86_400)  # 4 December
    cli.world.reconcile()
    months = [one for one in cli.world.costs() if one["scope"] == "month#2026-11"]
    assert sorted(one["entry"] == "-" for one in months) == [False, True]
    cli.world.reconcile()
    assert [one for one in cli.world.costs() if one["scope"] == "month#2026-11"] == months
    said = cli.run("--json", "costs", "--months", "2", "--by", "month", "--by", "tag:team")
    assert said.json["lines"] == [fresh[0] | {"month": "2026-11", "tag:team": "legal"}]
    assert said.json["lines"][0]["cost_usd"] == BATCH
    assert cli.run("--json", "costs", "--months", "2", "--by", "day").json["lines"] == [
        {name: one for name, one in fresh[0].items() if name != "month"} | {"day": "2026-11-22"}
    ]


def test_a_day_that_is_booked_after_its_month_was_added_up_is_found(cli: Cli) -> None:
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    said = cli.run("costs", "--reconcile", "--months", "1", width=120)
    assert (said.code, "2026-11: not added up yet; its days are." in said.out) == (0, True)
    cli.world.clock.advance(12 * 86_400)  # 4 December
    cli.world.reconcile()
    said = cli.run("costs", "--reconcile", "--months", "2", width=120)
    assert (said.code, "2026-11: the month equals its days (1 entry)." in said.out) == (0, True)
    (day,) = cli.world.costs("day#2026-11-22")
    late = day | {"entry": "rows#later", "job_id": "later", "booked_at": "2026-12-04T10:00:00.000Z"}
    table = cli.stacks.known["batchline"]["CostsTable"]
    dynamo.put_many(clients.dynamodb(), table, [late])
    found = cli.run("--json", "costs", "--reconcile", "--months", "2")
    assert found.code == 1
    month = found.json["months"]["2026-11"]
    assert (month["entries"], month["late_entries"]) == (2, 1)
    assert month["differs"]["cost_usd"] == BATCH
    assert "Booked after that: 1 entry." in cli.run("costs", "--reconcile", "--months", "2").out


def test_what_went_to_answers_that_were_no_good_is_said(cli: Cli) -> None:
    """One of 120 rows is answered with nothing: 100 tokens in at 0.03 USD a million, 0 out."""
    asked: list[str] = []

    def answer(_record: str, body: dict[str, Any]) -> Say:
        prompt = prompt_of(body)
        asked.append(prompt)
        return Say("", usage=Usage(100)) if asked.count(prompt) == 1 and len(asked) == 1 else Say("yes")

    cli.world.bedrock.answer = answer
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    said = cli.run("costs")
    assert "0.000003 USD of it went to answers that were no good: 1 record was asked again." in said.err
    (first,) = [one for one in cli.run("--json", "costs").json["entries"] if one["retried"]]
    assert (first["retried_usd"], first["engine"]) == ("0.000003", "batch")


# Cost Explorer


@pytest.fixture
def explorer() -> Iterator[tuple[CostExplorer, Stubber]]:
    client = boto3.client("ce", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    with Stubber(client) as stub:
        yield CostExplorer(client), stub


def group(service: str, amount: str) -> dict[str, Any]:
    return {"Keys": [service], "Metrics": {"UnblendedCost": {"Amount": amount, "Unit": "USD"}}}


def test_bedrock_is_all_that_is_counted_of_an_account(explorer: tuple[CostExplorer, Stubber]) -> None:
    books, stub = explorer
    asked = {
        "TimePeriod": {"Start": "2026-11-21", "End": "2026-11-23"},
        "Granularity": "DAILY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}],
    }
    days = [
        ("2026-11-21", [group("Amazon Bedrock", "0.5"), group("AWS Lambda", "9")]),
        ("2026-11-22", [group("Claude Sonnet 4.5 (Amazon Bedrock Edition)", "1.25")]),
    ]
    for number, (day, groups) in enumerate(days):
        period = {"Start": day, "End": day}
        reply: dict[str, Any] = {"ResultsByTime": [{"TimePeriod": period, "Groups": groups}]}
        token = {"NextPageToken": "more"}
        stub.add_response(
            "get_cost_and_usage", reply | ({} if number else token), asked | (token if number else {})
        )
    assert books.by_day(date(2026, 11, 21), date(2026, 11, 23)) == {
        "2026-11-21": Decimal("0.5"),
        "2026-11-22": Decimal("1.25"),
    }


def test_what_is_missing_for_a_comparison_is_said(explorer: tuple[CostExplorer, Stubber]) -> None:
    books, stub = explorer
    stub.add_client_error("get_cost_and_usage", "AccessDeniedException")
    with pytest.raises(NotAllowed, match="ce:GetCostAndUsage"):
        books.by_day(date(2026, 11, 21), date(2026, 11, 22))
    stub.add_client_error("get_cost_and_usage", "DataUnavailableException")
    with pytest.raises(NoAnswer, match="Cost Explorer has no data"):
        books.by_day(date(2026, 11, 21), date(2026, 11, 22))
    local = boto3.client("ce", region_name="us-east-1", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(NoAnswer, match="The local cloud has no Cost Explorer"):
        CostExplorer(local).by_day(date(2026, 11, 21), date(2026, 11, 22))
