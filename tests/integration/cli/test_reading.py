"""`status`, `results`, `jobs` and `costs` in front of what the stages have written."""

from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import clients, dynamo

from tests.integration.cli.conftest import Cli, Said
from tests.integration.fake_bedrock import Say
from tests.integration.world import NOVA, World

ROWS = "a\n" + "".join(f"row {n}\n" for n in range(120))


@pytest.fixture
def done(cli: Cli) -> Cli:
    """A batch of 120 records, a document of one record on demand, and one that waits for its pipeline.

    An answer takes 100 tokens in and 20 out. By hand: on demand 100 x 0.06 + 20 x 0.24 = 10.8 USD a
    million, 0.0000108 USD; 120 in a batch at half of that cost 0.000648 and save as much.
    """
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    cli.pipeline("notes")
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    cli.world.clock.advance(1)
    cli.upload("inbox/notes/議事録 2026.md", "A short note.")
    cli.settle()
    cli.upload("inbox/later/日本語.txt", "No pipeline yet.")
    cli.settle()
    return cli


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
    assert found.json["totals"] == {
        "documents": 1,
        "records": 1,
        "succeeded": 1,
        "failed": 0,
        "open": 0,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost_usd": "0.0000108",
        "saved_usd": "0",
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


def test_status_looks_back_as_far_as_it_is_told(done: Cli) -> None:
    done.world.clock.advance(3 * 86_400)
    assert done.run("status", "--json", "--days", "2").json["documents"] == []
    assert len(done.run("status", "--json", "--days", "4").json["documents"]) == 3


def test_status_of_nothing_says_how_to_begin(cli: Cli) -> None:
    said = cli.run("status")
    assert said.code == 0
    assert "batchline upload" in said.out


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


def test_a_document_in_motion_shows_the_job_that_holds_it(cli: Cli) -> None:
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    for name in ("mine", "other"):
        cli.world.upload(f"inbox/rows/{name}.csv", ROWS + name)
        cli.world.deliver_all()
        cli.world.clock.advance(200)
        cli.world.pack()
        cli.world.deliver_all()
    mine, _other = (one["job_id"] for one in cli.world.jobs())
    found = cli.run("status", "mine.csv", "--json").json
    assert found["status"] == "QUEUED"
    assert [(one["job_id"], one["status"]) for one in found["jobs"]] == [(mine, "RUNNING")]


@pytest.mark.parametrize("command", [["status"], ["results"], ["costs", "--document"]])
def test_an_unknown_document_is_one_sentence(cli: Cli, command: list[str]) -> None:
    said = cli.run(*command, "nothing.txt")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: There is no document 'nothing.txt'")
    assert said.err.count("\n") == 1


def test_an_ambiguous_document_names_the_candidates(done: Cli) -> None:
    done.upload("inbox/notes/table.csv", "The same name elsewhere.")
    done.settle()
    said = done.run("status", "table.csv")
    assert said.code == 2
    for key in ("inbox/notes/table.csv", "inbox/rows/table.csv"):
        assert f"{done.world.document(key)['document_id']} ({key})" in said.err


def test_watch_ends_when_nothing_moves(cli: Cli) -> None:
    cli.pipeline("notes")
    cli.world.upload("inbox/notes/a.txt", "A note.")
    cli.world.deliver_all()
    said = cli.run("status", "--watch", "--json")
    assert said.code == 0
    assert cli.waits > 0
    assert [one["status"] for one in said.json["documents"]] == ["COMPLETED"]


def test_watch_fails_for_what_moved_but_not_for_what_had_failed_before(cli: Cli) -> None:
    cli.pipeline("notes", attempts=1)
    cli.world.upload("inbox/notes/empty.txt", "")
    cli.settle()
    assert cli.run("status", "--watch").code == 0
    cli.world.bedrock.answer = lambda _name, _body: Say(error=400)
    cli.world.upload("inbox/notes/a.txt", "A note.")
    cli.world.deliver_all()
    assert cli.run("status", "a.txt", "--watch").code == 1
    assert cli.world.document("inbox/notes/a.txt")["status"] == "FAILED"


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


def test_a_long_answer_is_read_from_the_jobs_output(cli: Cli) -> None:
    long = "A sentence of the answer. " * 400
    cli.world.bedrock.answer = lambda _name, _body: Say(long)
    cli.pipeline("notes")
    cli.upload("inbox/notes/a.txt", "A note.")
    cli.settle()
    (row,) = cli.world.results(cli.world.document()["document_id"])
    assert "output_ref" in row
    (result,) = cli.run("results", "a.txt", "--json").json["results"]
    assert result["output"] == long
    assert cli.run("results", "a.txt", "--combined", width=None).out == long.strip() + "\n"


def test_structured_answers_keep_their_numbers(cli: Cli) -> None:
    cli.world.bedrock.answer = lambda _name, _body: Say('{"sum": 6.1, "who": "佐藤"}')
    schema = {"type": "object", "properties": {"sum": {"type": "number"}}}
    cli.pipeline("facts", output={"schema": schema})
    cli.upload("inbox/facts/a.txt", "A bill.")
    cli.settle()
    assert cli.run("results", "a.txt", "--json").json["results"][0]["output"] == {
        "sum": 6.1,
        "who": "佐藤",
    }
    assert "  sum: 6.1\n" in cli.run("results", "a.txt", width=None).out


def test_failed_records_alone(cli: Cli) -> None:
    def answer(_name: str, body: dict[str, Any]) -> Say:
        asked = body["messages"][0]["content"][0]["text"]
        return Say(error=400) if asked == "row 3" else Say(f"[b]{asked}[/b]")

    cli.world.bedrock.answer = answer
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}", attempts=1)
    cli.upload("inbox/rows/table.csv", "a\nrow 1\nrow 3\nrow 5\n")
    cli.settle()
    (failed,) = cli.run("results", "table.csv", "--failed", "--json").json["results"]
    assert (failed["record"], failed["output"]) == ("m0000001", None)
    assert failed["error"]["code"] == "MODEL_ERROR"
    said = cli.run("results", "table.csv", "--combined")
    assert said.lines[0] == "[b]row 1[/b]"
    assert "m0000001 is missing: MODEL_ERROR" in said.err


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
    said = done.run("costs", width=140)
    assert said.code == 0
    assert [line.split() for line in said.lines[2:5]] == [
        ["rows", NOVA, "batch", "1", "12,000", "2,400", "0.03,", "0.12", "0.0006480", "0.0006480"],
        ["notes", NOVA, "on_demand", "1", "100", "20", "0.06,", "0.24", "0.0000108", "0"],
        ["total", "2", "12,100", "2,420", *SUMS],
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


def spoil(world: World, scope: str) -> None:
    """Change what the first entry of a scope says it cost."""
    row = next(one for one in world.costs() if one["scope"].startswith(scope))
    changed = row | {"cost_usd": Decimal("0.5")}
    clients.dynamodb().put_item(**dynamo.put("Costs", changed))


@pytest.mark.parametrize(
    ("scope", "command"),
    [
        ("day#", ["costs"]),
        ("job#", ["costs"]),
        ("document#", ["costs", "--document", "table.csv"]),
        ("document#", ["costs", "--job", "batch"]),
    ],
)
def test_a_ledger_that_does_not_add_up_is_said_and_fails(cli: Cli, scope: str, command: list[str]) -> None:
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    command = [cli.world.job()["job_id"] if one == "batch" else one for one in command]
    before: Said = cli.run(*command)
    assert before.code == 0
    spoil(cli.world, scope)
    said = cli.run(*command)
    assert said.code == 1
    assert "≠" in said.out


def test_what_no_document_owns_is_shown(cli: Cli) -> None:
    cli.pipeline("rows", chunk={"by": "row"}, prompt="{{ row.a }}")
    cli.upload("inbox/rows/table.csv", ROWS)
    cli.settle()
    job_id = cli.world.job()["job_id"]
    # By hand: one more million tokens in at 0.03 USD that the manifest counted and nobody asked for.
    extra: dict[str, Any] = {
        "job_id": job_id,
        "model": NOVA,
        "engine": "batch",
        "tier": "default",
        "input_tokens": 1_000_000,
        "output_tokens": 0,
        "cost_usd": Decimal("0.03"),
        "saved_usd": Decimal("0.03"),
        "price": {"input": Decimal("0.03"), "output": Decimal("0.12"), "basis": "list"},
        "booked_at": "2026-11-22T09:00:00.000Z",
    }
    (total,) = cli.world.costs(f"job#{job_id}")
    for row in (
        extra | {"scope": "document#-", "entry": job_id},
        extra | {"scope": "day#2026-11-22", "entry": f"-#{job_id}"},
        total
        | {
            "input_tokens": total["input_tokens"] + 1_000_000,
            "cost_usd": total["cost_usd"] + Decimal("0.03"),
            "saved_usd": total["saved_usd"] + Decimal("0.03"),
        },
    ):
        clients.dynamodb().put_item(**dynamo.put("Costs", row))
    for command in (["costs"], ["costs", "--job", job_id]):
        said = cli.run(*command)
        assert said.code == 0
        assert "(unattributed)" in said.out
        assert "0.000648 + unattributed 0.030000 = jobs 0.030648 USD" in " ".join(said.out.split())
