"""The main job on the samples: documents dropped in a bucket, answers and the invoice in tables."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batchline import catalog

from tests.e2e.stack import Stack, total
from tests.waiting import eventually

BAD = {
    "inbox/summary/bad/empty.txt": (b"", "UPLOAD_EMPTY", "Upload it again"),
    "inbox/summary/bad/blob.bin": (bytes(range(256)), "FORMAT_UNSUPPORTED", "Convert it"),
    "inbox/summary/bad/cut.txt": ("終わりが切れた文".encode()[:-1], "TEXT_TRUNCATED", "whole file"),
    "inbox/summary/bad/cut.pdf": (b"%PDF-1.7\n1 0 obj", "FILE_DAMAGED", "Upload the whole file"),
    "inbox/rows/bad/plain.txt": (b"no table", "FORMAT_UNSUPPORTED", "chunks by tokens"),
    "inbox/summary/bad/markup.html": (b"<html><body><br></body></html>", "TEXT_MISSING", "Upload"),
    "inbox/nobody.txt": (b"no folder names a pipeline", "KEY_INVALID", "inbox/<pipeline>/"),
    "pipelines/broken.yaml": (
        b"model: x\nprompt: |\n  {{ text }}\nchunck: {}\n",
        "PIPELINE_INVALID",
        "line 4",
    ),
}
LATE = "inbox/late/before its pipeline.txt"
ARCHIVE = "inbox/summary/minutes-2026-10.zip"
MEMBERS = [f"{ARCHIVE}/board/2026-10-05.md", f"{ARCHIVE}/店長会議/2026-10-07.md"]
LATE_PIPELINE = b"""
model: us.amazon.nova-micro-v1:0
prompt: "Summarise in one sentence: {{ text }}"
max_wait: 0s
"""


@pytest.fixture(scope="module")
def processed(stack: Stack) -> dict[str, dict[str, Any]]:
    """Everything at once, as people upload: samples, bad files, and one without a pipeline yet."""
    stack.drop_samples("pipelines")
    keys = stack.drop_samples("inbox")
    for key, (body, _, _) in BAD.items():
        stack.drop(key, body)
    stack.drop(LATE, b"The warehouse moves on Monday. The keys are with Ms Okafor. Bring gloves.")
    return stack.ended(*keys, *MEMBERS, *BAD)


@pytest.fixture(scope="module")
def samples(processed: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for key, row in processed.items() if key not in {*BAD, ARCHIVE}]


def test_an_archive_ends_when_its_members_are_documents(processed: dict[str, dict[str, Any]]) -> None:
    row = processed[ARCHIVE]
    assert (row["status"], row["documents"], row["records"]) == ("COMPLETED", len(MEMBERS), 0)


def test_every_sample_is_answered_completely(samples: list[dict[str, Any]]) -> None:
    assert len(samples) >= 28
    for row in samples:
        assert row["status"] == "COMPLETED", row
        assert row["records"] == row["succeeded"] > 0
        assert row["failed"] == row["open"] == 0
        assert row["cost_usd"] > 0
        assert row["input_tokens"] > 0 < row["output_tokens"]


def test_each_record_has_its_result(stack: Stack, samples: list[dict[str, Any]]) -> None:
    results = stack.rows("Results")
    for row in samples:
        mine = [one for one in results if one["document_id"] == row["document_id"]]
        assert sorted(one["record"] for one in mine) == [f"m{n:07d}" for n in range(int(row["records"]))]
        # A row holds what its last attempt cost; the document has paid for the attempts before as well.
        first_attempts_only = all(one["attempt"] == 1 for one in mine)
        paid = total(mine, "cost_usd")
        assert paid == row["cost_usd"] if first_attempts_only else paid < row["cost_usd"]
        assert all("output" in one or "output_ref" in one for one in mine)


def test_the_lanes_take_the_two_engines(stack: Stack, samples: list[dict[str, Any]]) -> None:
    jobs = stack.closed_jobs()
    of_samples = {job["engine"]: job for job in jobs if set(job["pipelines"]) <= {"summary", "facts"}}
    assert of_samples["batch"]["records"] >= 100
    assert of_samples["batch"]["saved_usd"] == of_samples["batch"]["cost_usd"]  # half the price
    assert of_samples["on_demand"]["records"] < 100
    assert of_samples["on_demand"]["saved_usd"] == 0


def test_the_ledger_adds_up(stack: Stack, processed: dict[str, dict[str, Any]]) -> None:
    jobs = stack.closed_jobs()
    costs = stack.rows("Costs")
    of_documents = [row for row in costs if row["scope"].startswith("document#")]
    of_days = [row for row in costs if row["scope"].startswith("day#")]
    of_jobs = [row for row in costs if row["scope"].startswith("job#")]
    for name in ("cost_usd", "saved_usd", "input_tokens", "output_tokens"):
        assert total(of_documents, name) == total(of_days, name) == total(of_jobs, name)
        assert total(of_jobs, name) == total(jobs, name)
    for row in of_jobs:
        assert row["verified"]
        assert row["input_tokens"] == row["manifest_input_tokens"] == row["booked_input_tokens"]
        assert row["output_tokens"] == row["manifest_output_tokens"] == row["booked_output_tokens"]
    for row in processed.values():
        mine = [one for one in of_documents if one["scope"] == f"document#{row['document_id']}"]
        assert total(mine, "cost_usd") == row["cost_usd"]


def test_the_ledger_is_the_manifests_and_what_bedrock_has_counted_itself(
    stack: Stack, processed: dict[str, Any]
) -> None:
    """Three counts that know nothing of each other, by model and engine, to the token."""
    stack.closed_jobs()
    ledger: dict[tuple[str, str], list[int]] = {}
    manifests: dict[tuple[str, str], list[int]] = {}
    for row in stack.rows("Costs"):
        model = (catalog.base_id(row["model"]), row["engine"])
        if row["scope"].startswith("document#"):
            _add(ledger.setdefault(model, [0, 0]), row["input_tokens"], row["output_tokens"])
        elif row["scope"].startswith("job#"):
            read, written = row["manifest_input_tokens"], row["manifest_output_tokens"]
            _add(manifests.setdefault(model, [0, 0]), read, written)
    bill = {
        (row["model"], row["engine"]): [row["input_tokens"], row["output_tokens"]] for row in stack.bill()
    }
    assert {engine for _, engine in bill} == {"batch", "on_demand"}
    assert ledger == manifests == bill


def _add(sums: list[int], *numbers: int) -> None:
    for at, number in enumerate(numbers):
        sums[at] += int(number)


def test_bedrock_ran_one_batch_job_for_each_of_ours(stack: Stack, processed: dict[str, Any]) -> None:
    ours = {job["arn"]: job["records"] for job in stack.closed_jobs() if job["engine"] == "batch"}
    theirs = {job["jobArn"]: job["totalRecordCount"] for job in stack.batch_jobs_at_bedrock()}
    assert ours == theirs


@pytest.mark.parametrize("key", BAD)
def test_bad_input_says_what_to_do(processed: dict[str, dict[str, Any]], key: str) -> None:
    _, code, advice = BAD[key]
    row = processed[key]
    assert row["status"] == "FAILED"
    assert row["error"]["code"] == code
    assert advice in row["error"]["message"]
    assert row["records"] == row["open"] == 0


def test_a_document_waits_for_its_pipeline(stack: Stack, processed: dict[str, Any]) -> None:
    held = eventually(lambda: stack.documents(LATE).get(LATE))
    assert held["status"] == "HELD"
    assert held["error"]["code"] == "PIPELINE_UNKNOWN"
    stack.drop("pipelines/late.yaml", LATE_PIPELINE)
    done = stack.ended(LATE)[LATE]
    assert done["status"] == "COMPLETED"
    assert done["document_id"] == held["document_id"]
    assert "keys are with Ms Okafor" in done["result"] or "warehouse moves" in done["result"]


def test_a_newer_pipeline_takes_the_place_of_the_older_one(stack: Stack, processed: dict[str, Any]) -> None:
    def in_force() -> str | None:
        rows = [row for row in stack.rows("Control") if row["pk"] == "pipeline#turns"]
        return rows[0]["version"] if rows else None

    stack.drop("pipelines/turns.yaml", LATE_PIPELINE)
    first = eventually(in_force)
    old = stack.drop("inbox/turns/old.txt", b"The ferry leaves at nine. It takes forty minutes.")
    assert stack.ended(old)[old]["pipeline_version"] == first
    stack.drop("pipelines/turns.yaml", LATE_PIPELINE.replace(b"one sentence", b"ten words"))
    second = eventually(lambda: version if (version := in_force()) != first else None)
    new = stack.drop("inbox/turns/new.txt", b"The ferry leaves at ten. It takes an hour.")
    assert stack.ended(new)[new]["pipeline_version"] == second
    assert stack.documents(old)[old]["pipeline_version"] == first


def test_the_same_bytes_again_change_nothing(stack: Stack, processed: dict[str, Any]) -> None:
    before = {row["document_id"]: row for row in stack.rows("Documents")}
    again = "inbox/summary/議事録 2026-10-14.md"
    body = (Path(__file__).parents[2] / "samples" / again).read_bytes()
    stack.drop(again, body)
    probe = stack.drop("inbox/summary/probe.txt", b"This one is new. It tells that the other was read too.")
    stack.ended(probe)
    after = {row["document_id"]: row for row in stack.rows("Documents")}
    assert len(after) == len(before) + 1
    assert {name: after[name] for name in before} == before


def test_the_command_line_reads_the_same_tables(stack: Stack, samples: list[dict[str, Any]]) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "batchline", "--json", "status"],
        check=True,
        capture_output=True,
        env=dict(os.environ),
    )
    said = {row["document_id"]: row for row in json.loads(done.stdout)["documents"]}
    for row in samples:
        assert said[row["document_id"]]["status"] == "COMPLETED"
        assert said[row["document_id"]]["cost_usd"] == str(row["cost_usd"])


def test_nothing_is_left_over(stack: Stack, processed: dict[str, Any]) -> None:
    stack.closed_jobs()
    # A bell may be set to a minute ahead, for records that were still waiting when it was.
    waiting = stack.waiting_messages
    assert eventually(lambda: not any(waiting().values()), seconds=90, saying=waiting)
    control = stack.rows("Control")
    assert not [row for row in control if row["pk"].startswith("pending#")]
    assert not [row for row in control if row.get("holders")]
    for row in control:
        if row["pk"].startswith("budget#"):
            assert row["committed"] == row["spent"]


def test_no_document_text_is_logged(stack: Stack, processed: dict[str, Any]) -> None:
    logged = stack.logs()
    assert '"message":"chunked"' in logged
    for secret in ("Okafor", "It is a truth universally", "議事録", "Summarise", "inbox/"):
        assert secret not in logged
