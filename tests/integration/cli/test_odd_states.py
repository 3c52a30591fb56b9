"""What `status`, `results` and `costs` show while things move, fail or do not add up."""

import io
from decimal import Decimal
from typing import Any

import pytest
from batchline.aws import clients, dynamo
from batchline.cli import listing, status
from batchline.cli.session import Session
from rich.console import Console

from tests.integration.cli.conftest import ROWS, Cli, Said
from tests.integration.fake_bedrock import Say
from tests.integration.world import NOVA, World


def test_status_of_nothing_says_how_to_begin(cli: Cli) -> None:
    said = cli.run("status")
    assert said.code == 0
    assert "batchline upload" in said.out


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


def test_status_looks_back_as_far_as_it_is_told(cli: Cli) -> None:
    cli.pipeline("notes")
    for _ in range(3):
        cli.upload("inbox/notes/a.txt", f"A note of {cli.world.clock():%d}.")
        cli.settle()
        cli.world.clock.advance(86_400)
    for days, listed in ((1, 0), (2, 1), (3, 2), (4, 3), (7, 3)):
        assert len(cli.run("status", "--json", "--days", str(days)).json["documents"]) == listed


def test_an_ambiguous_document_names_the_candidates(cli: Cli) -> None:
    cli.pipeline("notes")
    paths = ("inbox/notes/a/same.txt", "inbox/notes/b/same.txt")
    for key in paths:
        cli.upload(key, "A note.")
    cli.settle()
    said = cli.run("status", "same.txt")
    assert said.code == 2
    for key in paths:
        assert f"{cli.world.document(key)['document_id']} ({key})" in said.err
    assert cli.run("status", "a/same.txt").code == 0


def test_a_screen_of_a_long_list_says_how_much_it_leaves_out(cli: Cli) -> None:
    cli.pipeline("notes")
    for number in range(5):
        cli.upload(f"inbox/notes/{number}.txt", "")
    cli.settle()
    run = Session(stack_name="batchline", as_json=False)
    found = listing.documents(run.stack, cli.world.clock(), days=1)
    console = Console(file=io.StringIO(), width=100)
    console.print(status.overview(run, found.documents, cli.world.clock(), rows=2))
    assert isinstance(console.file, io.StringIO)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines[4].split()[:3] == ["total", "5", "documents"]
    assert lines[-1] == "… and 3 more"
    assert len(lines) == 8
