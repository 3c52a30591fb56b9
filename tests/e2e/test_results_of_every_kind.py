"""Vectors, one answer made of many, tables, many shards and a person's review, through the deployed stack."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.e2e.stack import Stack
from tests.waiting import eventually

ROWS = 120
LARGE_ROWS = 150_000
ROWS_PER_RECORD = 40
PIPELINES = {
    "vectors": """
model: amazon.titan-embed-text-v2:0
prompt: "{{ row.note }}"
chunk: {by: row}
combine: jsonl
inference: {dimensions: 256}
max_wait: 1s
""",
    "nova-vectors": """
model: amazon.nova-2-multimodal-embeddings-v1:0
prompt: "{{ text }}"
combine: list
inference: {dimensions: 384}
max_wait: 1s
""",
    "cohere-vectors": """
model: us.cohere.embed-v4:0
prompt: "{{ text }}"
combine: list
inference: {dimensions: 512}
max_wait: 1s
""",
    "reduced": """
model: us.amazon.nova-pro-v1:0
prompt: "Summarise in one sentence: {{ text }}"
chunk: {max_tokens: 60}
combine:
  prompt: "These are summaries of {{ document.name }}. Write one of all: {{ text }}"
  max_tokens: 200
max_wait: 1s
""",
    "table": """
model: us.anthropic.claude-haiku-4-5-20251001-v1:0
prompt: "When does it happen? {{ row.note }}"
chunk: {by: row}
combine: csv
output:
  schema:
    type: object
    required: [date]
    properties: {date: {type: string, description: The date as YYYY-MM-DD.}}
max_wait: 1s
""",
    "reviewed": """
model: us.anthropic.claude-sonnet-4-5-20250929-v1:0
prompt: "Which year? {{ text }}"
output:
  schema:
    type: object
    required: [year, sure]
    properties: {year: {type: integer}, sure: {type: number}}
  confidence: {field: sure, at_least: 1000000}
review: {when: confidence}
attempts: 1
max_wait: 1s
""",
    "large": f"""
model: us.amazon.nova-micro-v1:0
prompt: "Summarise in one sentence: {{% for one in rows %}}{{{{ one.note }}}} {{{{ one.n }}}}. {{% endfor %}}"
chunk: {{by: row, rows: {ROWS_PER_RECORD}}}
combine: jsonl
inference: {{max_tokens: 60}}
max_wait: 1s
""",
}
NOTES = [
    f"Ferry {number} sails on {1 + number % 28} May 2027 from pier {number % 7}." for number in range(ROWS)
]
UPLOADS = {
    "inbox/vectors/notes.csv": "\n".join(["note", *NOTES]).encode(),
    "inbox/nova-vectors/note.txt": NOTES[0].encode(),
    "inbox/cohere-vectors/note.txt": NOTES[0].encode(),
    "inbox/reduced/timetable.txt": "\n\n".join(NOTES[:12]).encode(),
    "inbox/table/notes.csv": "\n".join(["note", *NOTES[:6]]).encode(),
    "inbox/large/rows.jsonl": b"".join(
        b'{"n":%d,"note":"buoy %d is green"}\n' % (number, number % 97) for number in range(LARGE_ROWS)
    ),
}
REVIEWED = {name: f"inbox/reviewed/{name}.txt" for name in ("accepted", "corrected", "rejected")}

type Rows = Mapping[str, dict[str, Any]]


@pytest.fixture(scope="module")
def documents(stack: Stack) -> Rows:
    for name, text in PIPELINES.items():
        stack.publish(name, text)
    for key, body in UPLOADS.items():
        stack.drop(key, body)
    for key in REVIEWED.values():
        stack.drop(key, f"The keel of {key} was laid in 1931.".encode())
    return stack.ended(*UPLOADS)


def lines(stack: Stack, row: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.read(row["table_key"]).splitlines()]


@pytest.mark.parametrize("key", UPLOADS)
def test_all_is_answered(documents: Rows, key: str) -> None:
    row = documents[key]
    assert (row["status"], row.get("error")) == ("COMPLETED", None)
    assert row["succeeded"] == row["records"] > 0


def test_vectors_come_from_a_batch_job_of_their_own_kind(stack: Stack, documents: Rows) -> None:
    found = lines(stack, documents["inbox/vectors/notes.csv"])
    assert [one["row"] for one in found] == list(range(ROWS))
    assert all(len(one["output"]["vector"]) == 256 for one in found)
    [job] = stack.jobs_of("vectors")
    theirs = boto3.client("bedrock").get_model_invocation_job(jobIdentifier=job["arn"])
    assert (theirs["modelInvocationType"], theirs["status"]) == ("InvokeModel", "Completed")
    assert theirs["totalRecordCount"] == ROWS


@pytest.mark.parametrize(("pipeline", "dimensions"), [("nova-vectors", 384), ("cohere-vectors", 512)])
def test_vectors_are_asked_for_on_demand(
    stack: Stack, documents: Rows, pipeline: str, dimensions: int
) -> None:
    row = documents[f"inbox/{pipeline}/note.txt"]
    [answer] = json.loads(stack.read(row["result_key"]))["result"]
    assert answer["dimensions"] == len(answer["vector"]) == dimensions
    assert sum(one**2 for one in answer["vector"]) == pytest.approx(1, abs=1e-3)
    assert row["input_tokens"] > 0
    [job] = stack.jobs_of(pipeline)
    assert job["engine"] == "on_demand"


def test_answers_are_made_one_by_a_further_request(stack: Stack, documents: Rows) -> None:
    row = documents["inbox/reduced/timetable.txt"]
    stored = json.loads(stack.read(row["result_key"]))
    assert isinstance(stored["result"], str)
    assert "Ferry" in stored["result"]
    requests = stack.asked()[row["document_id"]]
    asked = [one["messages"][0]["content"][0]["text"] for one in requests]
    assert len(asked) >= 4
    assert sum(text.startswith("These are summaries of timetable.txt.") for text in asked) == 1


def test_a_table_of_answers_is_a_file(stack: Stack, documents: Rows) -> None:
    row = documents["inbox/table/notes.csv"]
    assert row["table_key"].endswith(".csv")
    found = list(csv.DictReader(io.StringIO(stack.read(row["table_key"]).decode("utf-8-sig"))))
    assert [(one["row"], one["date"]) for one in found] == [
        (str(number), f"2027-05-0{number + 1}") for number in range(6)
    ]


def test_a_large_file_is_one_batch_job_of_many_shards(stack: Stack, documents: Rows) -> None:
    row = documents["inbox/large/rows.jsonl"]
    assert row["records"] == LARGE_ROWS // ROWS_PER_RECORD
    [job] = stack.jobs_of("large")
    assert (job["engine"], job["records"]) == ("batch", LARGE_ROWS // ROWS_PER_RECORD)
    assert job["shards"] >= 2
    assert len(lines(stack, row)) == LARGE_ROWS // ROWS_PER_RECORD


def test_a_person_decides_about_unsure_answers(stack: Stack, documents: Rows, tmp_path: Path) -> None:
    def held() -> bool:
        rows = stack.documents(*REVIEWED.values()).values()
        return [row["status"] for row in rows] == ["HELD"] * len(REVIEWED)

    eventually(held)
    assert {one["key"] for one in stack.command("review")["documents"]} == set(REVIEWED.values())
    right = tmp_path / "right.json"
    right.write_text('{"year": 1930, "sure": 1}')
    stack.command("review", REVIEWED["accepted"], "--accept")
    stack.command("review", REVIEWED["corrected"], "--correct", str(right), "--note", "the plate says so")
    stack.command("review", REVIEWED["rejected"], "--reject")
    rows = stack.ended(*REVIEWED.values())
    accepted, corrected, rejected = (rows[key] for key in REVIEWED.values())
    assert (accepted["status"], accepted["result"]["year"]) == ("COMPLETED", 1931)
    assert (corrected["status"], corrected["result"]["year"]) == ("COMPLETED", 1930)
    assert corrected["review"]["note"] == "the plate says so"
    assert rejected["status"] == "FAILED"
