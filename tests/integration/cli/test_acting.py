"""`cancel`, `resume`, `review` and `audit`: what people do to work that is on its way."""

import json
from pathlib import Path
from typing import Any

from batchline.aws import clients

from tests.faults import audit as faults
from tests.integration.cli.conftest import ROWS, Cli
from tests.integration.fake_bedrock import Ending, Say, prompt_of

ONE_BY_ONE = {"chunk": {"by": "row"}, "prompt": "{{ row.a }}"}
SURE: dict[str, Any] = {
    "output": {
        "schema": {"type": "object", "properties": {"sure": {"type": "number"}}},
        "confidence": {"field": "sure", "at_least": 0.8},
    },
    "review": {"when": "confidence"},
}


def status_of(cli: Cli, key: str) -> str:
    found: str = cli.world.document(key)["status"]
    return found


# cancel


def test_a_document_that_waits_is_cancelled_before_it_is_asked(cli: Cli) -> None:
    cli.pipeline("notes", too_few="wait", max_wait="1h")
    cli.upload("inbox/notes/a.txt", "A note.")
    cli.notify()
    cli.world.deliver_all()
    assert status_of(cli, "inbox/notes/a.txt") == "QUEUED"
    said = cli.run("cancel", "a.txt")
    assert (said.code, said.out) == (0, "a.txt: cancelled; it ends when what is on its way has come back.\n")
    cli.settle()
    row = cli.world.document("inbox/notes/a.txt")
    assert (row["status"], row["failed"], row["cost_usd"]) == ("CANCELLED", 1, 0)
    assert row["error"]["message"] == "Cancelled: 1 of 1 records were not asked any more."
    faults.check_end(cli.world)


def test_a_document_in_a_shared_shard_goes_alone(cli: Cli) -> None:
    cli.pipeline("notes", max_wait="1h")
    for name in "ab":
        cli.upload(f"inbox/notes/{name}.txt", f"Note {name}.")
    cli.notify()
    cli.world.deliver_all()
    cli.run("cancel", "b.txt")
    cli.world.clock.advance(3600)
    cli.settle()
    assert status_of(cli, "inbox/notes/a.txt") == "COMPLETED"
    assert status_of(cli, "inbox/notes/b.txt") == "CANCELLED"
    faults.check_end(cli.world)


def test_a_pipeline_is_cancelled_up_to_now(cli: Cli) -> None:
    cli.pipeline("notes", too_few="wait", max_wait="1h")
    cli.upload("inbox/notes/before.txt", "A note.")
    cli.notify()
    cli.world.deliver_all()
    said = cli.run("cancel", "--pipeline", "notes")
    assert said.code == 0
    assert said.out.startswith("Pipeline notes: all records that were on their way are cancelled, 0 jobs")
    cli.world.clock.advance(1)
    cli.upload("inbox/notes/after.txt", "Another note.")
    cli.settle()
    assert status_of(cli, "inbox/notes/before.txt") == "CANCELLED"
    assert status_of(cli, "inbox/notes/after.txt") in {"QUEUED", "HELD"}


def test_a_document_whose_pipeline_never_came_is_cancelled_at_once(cli: Cli) -> None:
    cli.upload("inbox/never/a.txt", "A note.")
    cli.settle()
    assert status_of(cli, "inbox/never/a.txt") == "HELD"
    said = cli.run("--json", "cancel", "a.txt")
    row = cli.world.document("inbox/never/a.txt")
    assert said.json == {"cancelled": [row["document_id"]]}
    assert (row["status"], row["error"]["message"]) == ("CANCELLED", "Cancelled before anything was asked.")


def test_a_batch_job_is_stopped_and_what_it_has_answered_is_kept(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", combine="list")
    cli.world.bedrock.ending = Ending("Stopped", left_out=lambda name: name.endswith("51"))
    cli.upload("inbox/rows/a.csv", ROWS)
    cli.notify()
    cli.world.deliver_all()
    (row,) = cli.world.jobs()
    assert row["status"] == "RUNNING"
    said = cli.run("cancel", "--job", row["job_id"])
    assert said.code == 0
    cli.settle()
    document = cli.world.document("inbox/rows/a.csv")
    # Of the indices 0 to 119 twelve end in 5; with the attempt's 1 their ids end in 51.
    assert (document["status"], document["succeeded"], document["failed"]) == ("CANCELLED", 108, 12)
    assert {one["error"]["code"] for one in cli.world.results(document["document_id"]) if "error" in one} == {
        "CANCELLED"
    }
    again = cli.run("cancel", "--job", row["job_id"])
    assert (again.code, again.err) == (
        2,
        f"Error: Job {row['job_id']} cannot be stopped any more: it is CLOSED.\n",
    )
    faults.check_end(cli.world)


def test_what_has_ended_is_not_cancelled(cli: Cli) -> None:
    cli.pipeline("notes", max_wait="0s")
    cli.upload("inbox/notes/a.txt", "A note.")
    cli.settle()
    said = cli.run("cancel", "a.txt")
    assert (said.code, said.out) == (0, "a.txt has ended already: COMPLETED.\n")
    assert cli.run("cancel").err == (
        "Error: Say what to cancel: documents, or --pipeline NAME, or --job JOB.\n"
    )
    assert "There is no pipeline 'no'" in cli.run("cancel", "--pipeline", "no").err


# resume


def test_a_lane_is_paused_after_two_jobs_without_a_success_and_goes_on(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", attempts=1)
    cli.world.bedrock.ending = Ending("Failed", "The bucket cannot be read.", lambda _: True)
    cli.upload("inbox/rows/a.csv", ROWS)
    cli.settle()
    row = cli.world.document("inbox/rows/a.csv")
    assert (row["status"], row["error"]["code"]) == ("HELD", "LANE_PAUSED")
    assert "The bucket cannot be read." in row["error"]["message"]
    assert len(cli.world.jobs()) == 2
    (lane,) = cli.run("--json", "resume").json["lanes"]
    assert (lane["paused"], lane["fails"], lane["pipelines"]) == (True, 2, ["rows"])
    assert "paused: The bucket cannot be read." in cli.run("resume", width=200).out

    cli.world.bedrock.ending = Ending()
    said = cli.run("resume", "rows")
    assert (said.code, said.out) == (0, f"{lane['lane']} goes on.\n")
    cli.settle()
    assert status_of(cli, "inbox/rows/a.csv") == "COMPLETED"
    assert {one["attempt"] for one in cli.world.results(row["document_id"])} == {1}
    assert cli.run("resume", "rows").out == f"{lane['lane']} was not paused.\n"
    assert cli.run("resume", "other").code == 2
    faults.check_end(cli.world)


def test_records_with_which_every_job_fails_fail_in_the_end(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", attempts=1)
    cli.world.bedrock.ending = Ending("Failed", "Line 7 is too long.", lambda _: True)
    cli.upload("inbox/rows/a.csv", ROWS)
    for _ in range(3):
        cli.settle()
        cli.run("resume", "rows")
    row = cli.world.document("inbox/rows/a.csv")
    assert (row["status"], row["codes"]) == ("FAILED", {"JOB_FAILED": 120})
    assert len(cli.world.jobs()) == 5
    faults.check_end(cli.world)


# review


def reviewed(cli: Cli) -> dict[str, Any]:
    cli.pipeline("notes", max_wait="0s", attempts=1, **SURE)
    cli.world.bedrock.answer = lambda _id, body: Say(json.dumps({"sure": 0.2 + len(prompt_of(body)) * 0}))
    cli.upload("inbox/notes/a.txt", "A note.")
    cli.settle()
    found: dict[str, Any] = cli.world.document("inbox/notes/a.txt")
    assert (found["status"], found["error"]["code"]) == ("HELD", "REVIEW_NEEDED")
    return found


def test_a_person_accepts_an_answer(cli: Cli) -> None:
    row = reviewed(cli)
    listed = cli.run("--json", "review").json["documents"]
    assert [one["document_id"] for one in listed] == [row["document_id"]]
    said = cli.run("review", "a.txt", "--accept", "--note", "fine")
    assert (said.code, said.out) == (0, "a.txt is accepted: COMPLETED.\n")
    ended = cli.world.document("inbox/notes/a.txt")
    assert (ended["status"], ended["result"]) == ("COMPLETED", row["result"])
    assert (ended["review"]["decision"], ended["review"]["note"]) == ("accepted", "fine")
    assert "error" not in ended
    cli.settle()
    assert [kind for kind, _ in cli.world.events()] == ["Document Held", "Document Completed"]
    again = cli.run("review", "a.txt", "--reject")
    assert (again.code, again.err) == (2, "Error: a.txt does not wait for a review: it is COMPLETED.\n")
    assert cli.run("review").err == "No document waits for a review.\n"


def test_a_person_corrects_an_answer(cli: Cli, tmp_path: Path) -> None:
    row = reviewed(cli)
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"sure": "very"}')
    said = cli.run("review", "a.txt", "--correct", str(wrong))
    assert (said.code, said.err) == (
        2,
        "Error: The correction breaks the pipeline's schema at $.sure: 'very' is not of type 'number'.\n",
    )
    right = tmp_path / "right.json"
    right.write_text('{"sure": 1.0, "who": "Åsa"}')
    assert cli.run("review", "a.txt", "--correct", str(right)).code == 0
    ended = cli.world.document("inbox/notes/a.txt")
    assert (ended["status"], ended["result"]) == ("COMPLETED", {"sure": 1, "who": "Åsa"})
    assert cli.world.object(ended["result_key"]).decode() == right.read_text()
    assert ended["review"]["model_result_key"] == row["result_key"]
    assert json.loads(cli.world.object(row["result_key"]))["result"] == {"sure": 0.2}


def test_a_person_rejects_an_answer(cli: Cli) -> None:
    reviewed(cli)
    said = cli.run("review", "a.txt", "--reject", "--note", "made up")
    assert (said.code, said.out) == (0, "a.txt is rejected: FAILED.\n")
    ended = cli.world.document("inbox/notes/a.txt")
    assert ended["error"] == {"code": "REVIEW_REJECTED", "message": "Rejected in a review: made up."}


def test_a_review_needs_one_decision(cli: Cli) -> None:
    reviewed(cli)
    sentence = "Error: Decide with one of --accept, --correct FILE.json and --reject.\n"
    assert cli.run("review", "a.txt").err == sentence
    assert cli.run("review", "a.txt", "--accept", "--reject").err == sentence
    assert cli.run("review", "--accept").err == "Error: Name the document that you have decided about.\n"


# audit


def test_an_audit_finds_nothing_and_then_what_was_tampered_with(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s")
    cli.upload("inbox/rows/a.csv", ROWS)
    cli.settle()
    said = cli.run("audit")
    assert (said.code, said.out) == (0, "Everything adds up.\n")
    row = cli.world.document("inbox/rows/a.csv")
    clients.dynamodb().update_item(
        TableName="Documents",
        Key={"document_id": {"S": row["document_id"]}},
        UpdateExpression="SET #succeeded = :n",
        ExpressionAttributeNames={"#succeeded": "succeeded"},
        ExpressionAttributeValues={":n": {"N": "119"}},
    )
    said = cli.run("--json", "audit")
    assert said.code == 1
    assert said.json["violations"] == [
        {
            "subject": f"document {row['document_id']}",
            "message": "120 records, but 119 succeeded + 0 failed + 0 open are 119",
        },
        {
            "subject": f"document {row['document_id']}",
            "message": "119 records succeeded and 0 failed, but of its results 120 did and 0 failed",
        },
    ]


# failed


def test_failures_are_listed_by_code_with_what_they_say(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", attempts=1)
    cli.world.bedrock.answer = lambda _id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else Say("")
    )
    assert cli.run("failed").err == "Nothing failed or waits among the documents of the last 7 days.\n"
    cli.upload("inbox/rows/a.csv", "a\nrow 0\nrow 1\nrow 2\n")
    cli.upload("inbox/rows/b.csv", "a\nrow 3\n")
    cli.upload("inbox/rows/c.csv", "a\n")
    cli.settle()
    first, second = cli.run("--json", "failed").json["failed"]
    assert (first["code"], first["pipeline"], len(first["documents"])) == ("RECORDS_FAILED", "rows", 2)
    assert first["records"] == {"ANSWER_EMPTY": 3, "ANSWER_BLOCKED": 1}
    assert first["statuses"] == {"FAILED": 2}
    assert (second["code"], len(second["documents"])) == ("TEXT_MISSING", 1)
    (only,) = cli.run("--json", "failed", "--code", "ANSWER_BLOCKED").json["failed"]
    assert only["documents"] == [cli.world.document("inbox/rows/a.csv")["document_id"]]
    table = cli.run("failed", "--pipeline", "rows", width=160).out
    assert "3 ANSWER_EMPTY, 1 ANSWER_BLOCKED" in table
    assert "c.csv: The file has no rows. Upload a file that has some." in table


# retry


def test_failed_records_are_asked_once_more(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", attempts=1, combine="list")
    cli.world.bedrock.answer = lambda _id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else Say(prompt_of(body))
    )
    cli.upload("inbox/rows/a.csv", "a\nrow 0\nrow 1\nrow 2\n")
    cli.settle()
    row = cli.world.document("inbox/rows/a.csv")
    assert (row["status"], row["result"]) == ("PARTIAL", ["row 0", "row 2"])

    early = cli.run("retry", "a.csv")
    assert early.code == 1
    assert "and its jobs may still be at work: try again in" in early.err
    cli.world.clock.advance(900)
    cli.world.bedrock.answer = lambda _id, body: Say(prompt_of(body))
    said = cli.run("retry", "a.csv")
    assert (said.code, said.out) == (0, "a.csv: 1 record asked again.\n")
    faults.check(cli.world)
    cli.settle()
    row = cli.world.document("inbox/rows/a.csv")
    assert (row["status"], row["result"]) == ("COMPLETED", ["row 0", "row 1", "row 2"])
    assert "codes" not in row
    assert [(one["record"], one["attempt"]) for one in cli.world.results(row["document_id"])] == [
        ("m0000000", 1),
        ("m0000001", 2),
        ("m0000002", 1),
    ]
    faults.check_end(cli.world)
    again = cli.run("retry", "a.csv")
    assert (again.code, again.err) == (
        1,
        "inbox/rows/a.csv is COMPLETED; only what has ended without all answers is asked again.\n",
    )


def test_all_records_with_a_code_are_asked_once_more(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s", attempts=1)
    cli.world.bedrock.answer = lambda _id, body: (
        Say(stop="content_filtered") if prompt_of(body) == "row 1" else Say("")
    )
    cli.upload("inbox/rows/a.csv", "a\nrow 0\nrow 1\n")
    cli.upload("inbox/rows/b.csv", "a\nrow 3\n")
    cli.settle()
    cli.world.clock.advance(900)
    cli.world.bedrock.answer = lambda _id, body: Say(prompt_of(body))
    ids = {key: cli.world.document(f"inbox/rows/{key}.csv")["document_id"] for key in "ab"}
    said = cli.run("--json", "retry", "--code", "ANSWER_EMPTY")
    assert said.json == {"asked": {ids["a"]: 1, ids["b"]: 1}, "refused": {}}
    cli.settle()
    assert status_of(cli, "inbox/rows/a.csv") == "PARTIAL"
    assert status_of(cli, "inbox/rows/b.csv") == "COMPLETED"
    faults.check_end(cli.world)


def test_a_cancelled_document_is_wanted_after_all(cli: Cli) -> None:
    cli.pipeline("notes", max_wait="0s")
    cli.world.bedrock.ending = Ending()
    cli.upload("inbox/notes/a.txt", "A note.")
    cli.notify()
    cli.world.deliver("UploadsQueue")
    cli.run("cancel", "a.txt")
    cli.settle()
    assert status_of(cli, "inbox/notes/a.txt") == "CANCELLED"
    cli.world.clock.advance(900)
    assert cli.run("retry", "a.txt").out == "a.txt: 1 record asked again.\n"
    cli.settle()
    assert status_of(cli, "inbox/notes/a.txt") == "COMPLETED"
    faults.check_end(cli.world)


def test_an_upload_that_was_refused_is_read_again(cli: Cli) -> None:
    cli.pipeline("rows", **ONE_BY_ONE, max_wait="0s")
    cli.upload("inbox/rows/a.csv", "b\nrow 0\n")
    cli.settle()
    before = cli.world.document("inbox/rows/a.csv")
    assert (before["status"], before["error"]["code"]) == ("FAILED", "PROMPT_FAILED")
    cli.world.clock.advance(1)
    assert cli.run("retry", "a.csv").out == "a.csv: read again.\n"
    cli.settle()
    after = cli.world.document("inbox/rows/a.csv")
    assert (after["status"], after["document_id"]) == ("FAILED", before["document_id"])
    assert after["received_at"] > before["received_at"]


def test_a_retry_says_what_is_missing(cli: Cli) -> None:
    assert "Say what to ask again" in cli.run("retry").err
    wrong = cli.run("retry", "--record", "m0000000", "--code", "ANSWER_EMPTY")
    assert (wrong.code, wrong.err) == (
        2,
        "Error: --record names a record of one document: name that as well.\n",
    )
    assert cli.run("retry", "--code", "ANSWER_EMPTY").err == "Nothing failed so.\n"
