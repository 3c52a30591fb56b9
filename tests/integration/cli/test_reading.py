"""`status`, `results`, `jobs` and `costs` in front of what the stages have written."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.integration.cli.conftest import ROWS, Cli, open_cli
from tests.integration.world import NOVA


@pytest.fixture(scope="module")
def done() -> Iterator[Cli]:
    """A batch of 120 records, a document of one record on demand, one that waits for its pipeline.

    No test changes it.

    An answer takes 100 tokens in and 20 out. By hand: on demand 100 x 0.06 + 20 x 0.24 = 10.8 USD a
    million, 0.0000108 USD; 120 in a batch at half of that cost 0.000648 and save as much.
    """
    with open_cli() as cli:
        cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
        cli.pipeline("notes")
        cli.upload("inbox/rows/table.csv", ROWS)
        cli.settle()
        cli.world.clock.advance(1)
        cli.upload("inbox/notes/議事録 2026.md", "A short note.")
        cli.settle()
        cli.upload("inbox/later/日本語.txt", "No pipeline yet.")
        cli.settle()
        yield cli


def test_status_lists_the_newest_first_with_exact_sums(done: Cli) -> None:
    said = done.run("status", width=110)
    assert said.code == 0
    header, *rows, total = said.lines[1:6]
    assert header.split() == [
        *("document", "name", "pipeline", "status", "records", "in", "out", "USD", "USD", "error")
    ]
    assert [row.split()[1:] for row in rows] == [
        ["日本語.txt", "later", "HELD", "0/0", "0", "0", "0", "0", "PIPELINE_UNKNOWN"],
        ["議事録", "2026.md", "notes", "COMPLETED", "1/1", "100", "20", "0.0000108", "0", age(done, 1)],
        [
            *("table.csv", "rows", "COMPLETED", "120/120", "12,000", "2,400"),
            *("0.0006480", "0.0006480", age(done, 2)),
        ],
    ]
    assert total.split() == [
        *("total", "3", "documents", "121/121", "12,100", "2,420", "0.0006588", "0.0006480")
    ]
    assert "1 HELD · 2 COMPLETED" in said.out
    assert "Upload pipelines/later.yaml" in said.out


def age(done: Cli, place: int) -> str:
    """Say how old the n-th newest document is, in whole minutes."""
    rows = sorted(done.world.documents(), key=lambda one: one["received_at"], reverse=True)
    received = rows[place]["received_at"]
    minutes = (done.world.clock() - type(done.world.clock()).fromisoformat(received)).seconds // 60
    return f"{minutes}m"


def test_status_fits_80_columns_and_is_whole_when_piped(done: Cli) -> None:
    narrow = done.run("status", width=80)
    assert max(len(line) for line in narrow.lines) <= 80
    assert "0.0006588" in narrow.out
    piped = done.run("status", width=None)
    document_id = done.world.document("inbox/rows/table.csv")["document_id"]
    assert any(line.startswith(document_id) for line in piped.lines)
    assert "\x1b" not in piped.out


def test_status_as_json_is_nothing_but_json(done: Cli) -> None:
    found = done.run("--json", "status", "--limit", "1", "--status", "completed")
    assert found.err == ""
    assert found.json["more"] is True
    (shown,) = found.json["documents"]
    overhead = next(
        one["overhead_usd"] for one in done.world.documents() if one["document_id"] == shown["document_id"]
    )
    assert overhead > 0
    assert found.json["totals"] == {
        "documents": 1,
        "records": 1,
        "succeeded": 1,
        "failed": 0,
        "open": 0,
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "long_input_tokens": 0,
        "long_output_tokens": 0,
        "long_cache_read_tokens": 0,
        "long_cache_write_tokens": 0,
        "cost_usd": "0.0000108",
        "saved_usd": "0",
        "overhead_usd": str(overhead),
        "total_usd": str(overhead + Decimal("0.0000108")),
        "cached": 0,
        "cache_saved_usd": "0",
    }
    (document,) = found.json["documents"]
    assert document["key"] == "inbox/notes/議事録 2026.md"
    assert document["error"] is None


def test_status_filters(done: Cli) -> None:
    for options, names in (
        (["--pipeline", "rows"], ["table.csv"]),
        (["--pipeline", "later"], ["日本語.txt"]),
        (["--status", "HELD", "--status", "FAILED"], ["日本語.txt"]),
        (["--limit", "2"], ["日本語.txt", "議事録 2026.md"]),
        (["--limit", "3"], ["日本語.txt", "議事録 2026.md", "table.csv"]),
        (["--limit", "0"], ["日本語.txt", "議事録 2026.md", "table.csv"]),
        (["--pipeline", "unheard-of"], []),
    ):
        found = done.run("status", "--json", *options).json
        assert [one["name"] for one in found["documents"]] == names
        assert found["more"] is (options == ["--limit", "2"])


def test_a_document_is_found_by_id_start_key_and_name(done: Cli) -> None:
    row = done.world.document("inbox/rows/table.csv")
    document_id = row["document_id"]
    for name in (document_id, document_id[:12], "inbox/rows/table.csv", "table.csv"):
        found = done.run("--json", "status", name).json
        assert found["document_id"] == document_id
        assert [one["job_id"] for one in found["jobs"]] == list(row["applied"])
        assert [one["cost_usd"] for one in found["costs"]] == ["0.000648"]


def test_everything_about_a_document(done: Cli) -> None:
    said = done.run("status", "日本語.txt")
    facts = dict(line.split(maxsplit=1) for line in said.lines if not line.startswith(" "))
    assert facts["key"] == "inbox/later/日本語.txt"
    assert facts["status"] == "HELD"
    assert facts["error"].startswith("PIPELINE_UNKNOWN: There is no pipeline 'later' yet.")
    assert "estimate" not in facts


def test_what_was_charged_stands_beside_the_estimate(done: Cli) -> None:
    facts = dict(line.split(maxsplit=1) for line in done.run("status", "table.csv").lines if line[:1].strip())
    # 120 records of 14 tokens, of which the first 100 are weighed together, which is 2 less; and a quarter of
    # 1,024 in each answer, in a batch at 0.03 and 0.12 USD per million: 1,678 * 0.03 + 30,720 * 0.12 is
    # 50.34 + 3,686.4 millionths. At most 5,437 in and 122,880 out on demand, at 0.06 and
    # 0.24: 326.22 + 29,491.2. The cost of 648 is 82.66 % less than was expected.
    assert facts["estimate"] == "0.00373674 USD, at most 0.02981742; it cost 82.7% less"


# results


def test_results_show_each_record(done: Cli) -> None:
    said = done.run("results", "議事録 2026.md")
    assert said.lines[:2] == [
        "m0000000  100 tokens in, 20 out, 0.0000108 USD  end_turn",
        "  answer to Say A short note.",
    ]


def test_results_are_limited_for_people_and_whole_for_machines(done: Cli) -> None:
    said = done.run("results", "table.csv")
    assert said.out.count("tokens in") == 20
    assert "--limit 0" in said.err
    assert done.run("results", "table.csv", "--limit", "0").out.count("tokens in") == 120
    found = done.run("results", "table.csv", "--json").json
    assert [one["record"] for one in found["results"]] == [f"m{n:07d}" for n in range(120)]
    assert found["results"][7]["output"] == "answer to row 7"


def test_no_results_say_why(done: Cli) -> None:
    said = done.run("results", "日本語.txt")
    assert (said.code, said.out) == (0, "")
    assert "PIPELINE_UNKNOWN" in said.err
    combined = done.run("results", "日本語.txt", "--combined")
    assert combined.code == 2
    assert "has no result: it is HELD" in combined.err
    assert "1 of 1 have an answer" in done.run("results", "議事録 2026.md", "--failed").err


# jobs


def test_jobs_say_why_they_were_opened_and_what_they_cost(done: Cli) -> None:
    batch, on_demand = done.world.jobs()
    said = done.run("jobs", width=140)
    assert said.lines[2].split()[0] == on_demand["job_id"]
    assert said.lines[3].strip() == on_demand["why"]
    assert said.lines[4].split()[:4] == [batch["job_id"], NOVA, "batch", "CLOSED"]
    assert said.lines[6].split() == ["total", "2", "jobs", "121", "12,100", "2,420", *SUMS]
    assert max(map(len, done.run("jobs", width=80).lines)) <= 80
    found = done.run("jobs", "--json").json["jobs"]
    assert [(one["engine"], one["cost_usd"]) for one in found] == [
        ("on_demand", "0.0000108"),
        ("batch", "0.000648"),
    ]


SUMS = ("0.0006588", "0.0006480")


def test_jobs_by_status(done: Cli) -> None:
    assert len(done.run("jobs", "--json", "--status", "closed").json["jobs"]) == 2
    assert done.run("jobs", "--status", "RUNNING").out == "No jobs.\n"
    assert done.run("jobs", "--json", "--limit", "1").json["more"] is True


def test_the_history_of_a_job(done: Cli) -> None:
    batch, _ = done.world.jobs()
    said = done.run("jobs", batch["job_id"])
    history = said.lines[said.lines.index("history") + 1 :]
    assert [line.split()[1].rstrip(":") for line in history] == [
        *("OPEN", "BUILDING", "READY", "RUNNING", "COLLECTING", "CLOSING", "CLOSED")
    ]
    found = done.run("jobs", batch["job_id"], "--json").json
    assert found["counts"]["succeeded"] == 120
    assert found["arn"] == batch["arn"]


def test_an_unknown_and_an_ambiguous_job(done: Cli) -> None:
    unknown = done.run("jobs", "zzzz")
    assert unknown.code == 2
    assert "There is no job 'zzzz'" in unknown.err
    ambiguous = done.run("jobs", done.world.jobs()[0]["job_id"][:1])
    assert ambiguous.code == 2
    assert all(one["job_id"] in ambiguous.err for one in done.world.jobs())


# costs


def test_the_ledger_adds_up(done: Cli) -> None:
    said = done.run("costs", width=150)
    assert said.code == 0
    spent = {one["engine"]: one["overhead_usd"] for one in done.world.jobs()}
    batch, asked, both = (f"{one:.9f}" for one in (spent["batch"], spent["on_demand"], sum(spent.values())))
    assert f"Model 0.000658800 + overhead {both} (estimate) = " in said.out
    assert [line.split() for line in said.lines[2:5]] == [
        ["rows", NOVA, "batch", "1", "12,000", "2,400", "0.03,", "0.12", "0.0006480", batch, "0.0006480"],
        ["notes", NOVA, "on_demand", "1", "100", "20", "0.06,", "0.24", "0.0000108", asked, "0"],
        ["total", "2", "12,100", "2,420", SUMS[0], both, SUMS[1]],
    ]
    assert "pipelines 0.0006588 + unattributed 0 = jobs 0.0006588 USD" in " ".join(said.out.split())
    found = done.run("costs", "--json", "--day", "2026-11-22").json
    assert found["totals"]["cost_usd"] == "0.0006588"
    assert found["proof"]["adds_up"] is True
    assert [one["price"] for one in found["lines"]] == [
        {"input": "0.03", "output": "0.12", "basis": "list"},
        {"input": "0.06", "output": "0.24", "basis": "list"},
    ]


def test_costs_of_a_pipeline_and_of_a_day_without_any(done: Cli) -> None:
    found = done.run("costs", "--json", "--pipeline", "notes").json
    assert (found["totals"]["cost_usd"], found["proof"]) == ("0.0000108", None)
    said = done.run("costs", "--day", "2026-11-01")
    assert (said.code, said.out) == (0, "")
    assert "Nothing was booked from 2026-11-01" in said.err


def test_costs_of_a_document_and_of_a_job(done: Cli) -> None:
    found = done.run("costs", "--document", "table.csv", "--json").json
    assert (found["totals"], found["adds_up"]) == (found["document"], True)
    job_id = done.world.jobs()[0]["job_id"]
    by_job = done.run("costs", "--job", job_id, "--json").json
    assert [one["document_id"] for one in by_job["entries"]] == [found["document_id"]]
    assert by_job["proof"]["jobs_usd"] == "0.000648"
    assert "documents 0.000648 + unattributed 0 = jobs 0.000648 USD" in done.run("costs", "--job", job_id).out
    assert done.run("costs", "--document", "日本語.txt").err.startswith("Nothing is booked")
