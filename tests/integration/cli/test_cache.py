"""What the commands say of answers that came from the cache."""

import csv
import io
from collections.abc import Iterator

import pytest

from tests.integration.cli.conftest import Cli, open_cli

# By hand, Nova Lite at 0.06 and 0.24 USD a million, 100 tokens in and 20 out: 0.0000108 USD for one answer on
# demand. Five rows of which two are the same, then four that are known, and the two that are the same again.
SAVED = "0.0000648"


def table(*words: str) -> str:
    return "\n".join(("a", *words, ""))


@pytest.fixture(scope="module")
def done() -> Iterator[Cli]:
    """Two small uploads of a pipeline with a cache; the second has nothing new. No test changes it."""
    with open_cli() as cli:
        cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}", cache=True)
        cli.upload("inbox/rows/first.csv", table("one", "two", "three", "four", "one"))
        cli.settle()
        cli.upload("inbox/rows/second.csv", table("one", "two", "three", "four", "one"))
        cli.settle()
        yield cli


def test_status_says_what_the_cache_saved(done: Cli) -> None:
    assert "6 answers from the cache saved 0.0000648 USD" in done.run("status", width=None).out
    second = done.run("status", "second.csv", width=200)
    assert "5 answers from the cache saved 0.000054 USD" in second.out
    first = done.run("--json", "status", "first.csv").json
    assert (first["cached"], first["cache_saved_usd"], first["cost_usd"]) == (1, "0.0000108", "0.0000432")
    totals = done.run("--json", "status").json["totals"]
    assert (totals["cached"], totals["cache_saved_usd"]) == (6, SAVED)


def test_results_mark_what_was_cached(done: Cli) -> None:
    lines = [line for line in done.run("results", "first.csv").lines if line.startswith("m")]
    assert [" cached, 0 USD" in line for line in lines] == [False, False, False, False, True]
    found = done.run("--json", "results", "second.csv").json["results"]
    assert [(one["cached"], one["input_tokens"], one["cost_usd"]) for one in found] == [(True, 0, "0")] * 5
    assert found[0]["output"] == "answer to one"


def test_costs_add_up_what_the_cache_saved(done: Cli) -> None:
    said = done.run("costs")
    assert said.code == 0
    assert "6 answers from the cache saved 0.0000648 USD." in said.lines
    found = done.run("--json", "costs", "--by", "document").json
    assert sorted(one["cached"] for one in found["lines"]) == [1, 5]
    assert (found["totals"]["cached"], found["totals"]["cache_saved_usd"]) == (6, SAVED)
    rows = list(csv.DictReader(io.StringIO(done.run("costs", "--csv", "--by", "pipeline").out)))
    assert [(one["cached"], one["cache_saved_usd"]) for one in rows] == [("6", SAVED)]


def test_a_job_says_what_the_cache_saved(done: Cli) -> None:
    saved = {
        one["job_id"]: one["cache_saved_usd"]
        for one in done.run("--json", "jobs").json["jobs"]
        if one["cached"]
    }
    assert sorted(saved.values()) == ["0.0000108", "0.000054"]
    for job_id, usd in saved.items():
        assert f"from the cache saved {usd} USD" in done.run("jobs", job_id, width=200).out


def test_a_cache_is_shown_and_forgotten() -> None:
    with open_cli() as cli:
        cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}", cache={"ttl": "1h"})
        assert cli.run("cache", "rows").out == "rows: no answers.\n"
        cli.upload("inbox/rows/a.csv", table("one", "two"))
        cli.settle()
        shown = cli.run("--json", "cache", "rows").json
        assert (shown["answers"], shown["oldest_at"][:10]) == (2, "2026-11-22")
        assert "rows: 2 answers, the oldest of 2026-11-22T09:" in cli.run("cache", "rows", width=200).out
        assert cli.run("cache", "rows", "--clear").out == "rows: 2 answers forgotten.\n"
        assert cli.run("--json", "cache", "rows").json["answers"] == 0
        cli.upload("inbox/rows/b.csv", table("one", "two"))
        cli.settle()
        assert sum(cli.world.bedrock.paid.values()) == 4
        cli.world.clock.advance(2 * 3600)
        assert cli.run("cache", "rows").out == "rows: no answers.\n"
        assert cli.run("--json", "cache", "rows", "--clear").json == {"pipeline": "rows", "forgotten": 2}
        said = cli.run("cache", "row")
        assert (said.code, said.err) == (2, "Error: There is no pipeline 'row'; did you mean rows?\n")
