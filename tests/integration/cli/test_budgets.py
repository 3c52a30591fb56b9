"""Budgets as people see them: `limits budgets`, `status` of a held document, `approve`, `estimate`."""

from pathlib import Path

import pytest

from tests.integration.cli.conftest import ROWS, Cli

SHAPE = {"chunk": {"by": "row"}, "prompt": "Say {{ row.a }}", "inference": {"max_tokens": 100}}


@pytest.fixture
def limited(cli: Cli) -> Cli:
    """A stack whose month has a budget."""
    cli.stacks.parameters["batchline"] = {"BudgetPerMonth": "0.01"}
    return cli


def test_a_document_over_its_budget_is_explained_and_approved(limited: Cli) -> None:
    limited.pipeline("rows", **SHAPE, max_wait="0s", budget={"per_document_usd": 0.001, "per_day_usd": 0.1})
    limited.upload("inbox/rows/a.csv", ROWS)
    limited.notify()
    limited.world.minute()
    said = limited.run("status", "a.csv").out
    document_id = limited.world.document()["document_id"]
    # 120 records with 15 or 16 tokens in, 3.24 times as many at most, and 100 out, at 0.06 and 0.24 USD a
    # million, for they may be asked on demand.
    assert "HELD" in said
    assert "per document  0.001 USD, and it may cost 0.00323" in said
    assert "per day       0.1 of 0.1 USD left; 0 spent, 0 reserved" in said
    assert "per month     0.01 of 0.01 USD left; 0 spent, 0 reserved" in said
    assert f"goes on       with `batchline approve {document_id}`" in said
    held = limited.run("status", "a.csv", "--json").json["budget"]
    assert (held["needs_usd"], held["per_document_usd"], held["lacking"]) == (
        held["may_cost_usd"],
        "0.001",
        ["document"],
    )
    assert held["needs_usd"].startswith("0.0032")
    assert (held["day"]["left_usd"], held["month"]["left_usd"], held["approved"]) == ("0.1", "0.01", False)
    assert held["goes_on"].startswith(f"with `batchline approve {document_id}`")
    listed = limited.run("approve")
    assert "a.csv" in listed.out
    approved = limited.run("approve", "a.csv")
    assert "a.csv goes on; its records may cost 0.00323" in approved.out
    assert "Approved: 1 document, at most 0.00323" in approved.out
    limited.settle()
    assert limited.world.document()["status"] == "COMPLETED"
    assert limited.run("status", "a.csv", "--json").json["budget"] is None
    assert limited.run("approve").err == "No document is held for a budget.\n"
    # 100 in and 20 out a record: 0.000648 USD in a batch.
    rows = {one["period"]: one for one in limited.run("limits", "budgets", "--json").json["budgets"]}
    assert {one: rows[one]["spent_usd"] for one in rows} == {"2026-11": "0.000648", "2026-11-22": "0.000648"}
    assert rows["2026-11"]["left_usd"] == "0.009352"
    assert (rows["2026-11-22"]["pipeline"], rows["2026-11-22"]["reserved_usd"]) == ("rows", "0")
    assert float(rows["2026-11-22"]["approved_usd"]) > 0.0016
    shown = limited.run("limits", "budgets").lines
    assert any("all pipelines" in line and "0.009352" in line for line in shown)


def test_all_that_a_day_holds_is_approved_at_once(cli: Cli) -> None:
    cli.pipeline("rows", **SHAPE, max_wait="0s", budget={"per_day_usd": 0.0001})
    cli.upload("inbox/rows/a.csv", ROWS)
    cli.notify()
    cli.world.minute()
    said = cli.run("status", "a.csv", width=200).out
    assert "no day is enough" in said
    assert cli.run("approve", "--pipeline", "nobody").code == 2
    assert cli.run("approve", "a.csv", "--held").code == 2
    assert "Approved: 1 document" in cli.run("approve", "--held").out
    cli.settle()
    assert cli.world.document()["status"] == "COMPLETED"
    ended = cli.run("approve", "a.csv")
    assert (ended.code, ended.err) == (2, "Error: a.csv has ended already: it is COMPLETED.\n")


def test_an_estimate_says_which_budgets_will_hold(limited: Cli, tmp_path: Path) -> None:
    limited.stacks.parameters["batchline"] = {"BudgetPerMonth": "0.0005"}
    limited.pipeline("rows", **SHAPE, budget={"per_document_usd": 0.001, "per_day_usd": 0.001})
    file = tmp_path / "a.csv"
    file.write_text(ROWS)
    said = limited.run("estimate", str(file), "--pipeline", "rows", width=1_000).out
    assert "and budget.per_day_usd has 0.001 of 0.001 left" in said
    assert "1 document is HELD, for each may cost more than budget.per_document_usd, 0.001" in said
    assert "and the stack's budget of the month has 0.0005 left" in said
