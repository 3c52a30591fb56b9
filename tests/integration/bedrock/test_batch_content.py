"""Batches of other bodies than Converse's, large output, and several jobs at once."""

import json
from typing import Any

import pytest
from batchline import dialects
from batchline.pipelines import Pipeline

from .conftest import HAIKU, STEP, Bench, converse_record

CLAUDE = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50}


def claude_record(number: int, **members: Any) -> dict[str, Any]:
    text = f"Summarize:\n\nOrder {number} was delivered."
    body = {**CLAUDE, "messages": [{"role": "user", "content": text}], **members}
    return {"recordId": f"R{number:07d}", "modelInput": body}


def test_invoke_model_is_the_default_type(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [claude_record(n) for n in range(100)])
    request = {
        "jobName": "plain",
        "roleArn": "arn:aws:iam::000000000000:role/R",
        "modelId": HAIKU,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": "s3://input/jobs/a.jsonl"}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": "s3://output/results/"}},
    }
    arn = bench.bedrock.create_model_invocation_job(**request)["jobArn"]
    job = bench.finish(arn)
    assert (job["modelInvocationType"], job["status"]) == ("InvokeModel", "Completed")
    for line in bench.output(arn, "a.jsonl.out"):
        number = int(line["recordId"][1:])
        assert line["modelOutput"]["type"] == "message"
        assert line["modelOutput"]["content"] == [{"type": "text", "text": f"Order {number} was delivered."}]


def test_tools_are_allowed_in_invoke_model_records(bench: Bench) -> None:
    tools = {
        "tools": [
            {
                "name": "note",
                "input_schema": {"type": "object", "properties": {"order_number": {"type": "integer"}}},
            }
        ],
        "tool_choice": {"type": "tool", "name": "note"},
    }
    bench.put_records("jobs/a.jsonl", [claude_record(n, **tools) for n in range(100)])
    arn = bench.create(modelId=HAIKU, modelInvocationType="InvokeModel")
    bench.finish(arn)
    for line in bench.output(arn, "a.jsonl.out"):
        [block] = line["modelOutput"]["content"]
        assert line["modelOutput"]["stop_reason"] == "tool_use"
        assert (block["name"], block["input"]) == ("note", {"order_number": int(line["recordId"][1:])})


def test_prompt_caching_fails_the_record_alone(bench: Bench) -> None:
    records = [converse_record(n) for n in range(100)]
    records[3]["modelInput"]["messages"][0]["content"].append({"cachePoint": {"type": "default"}})
    bench.put_records("jobs/a.jsonl", records)
    arn = bench.create()
    assert bench.finish(arn)["errorRecordCount"] == 1
    [failed] = [line for line in bench.output(arn, "a.jsonl.out") if "error" in line]
    assert failed["recordId"] == "R0000003"
    assert failed["error"] == {
        "errorCode": 403,
        "errorMessage": "You invoked an unsupported model or your request did not allow prompt caching.",
        "expired": False,
        "retryable": False,
    }


@pytest.mark.parametrize("member", ["modelId", "guardrailConfig", "colour"])
def test_what_a_converse_record_may_not_hold(bench: Bench, member: str) -> None:
    value = {"guardrailIdentifier": "g", "guardrailVersion": "1"} if member == "guardrailConfig" else "x"
    bench.put_records("jobs/a.jsonl", [converse_record(n, **{member: value}) for n in range(100)])
    arn = bench.create()
    assert bench.finish(arn)["errorRecordCount"] == 100


def test_embeddings_in_a_batch(bench: Bench) -> None:
    records = [
        {"recordId": f"R{n}", "modelInput": {"inputText": f"order {n % 2}", "dimensions": 256}}
        for n in range(100)
    ]
    bench.put_records("jobs/a.jsonl", records)
    arn = bench.create(modelId="amazon.titan-embed-text-v2:0", modelInvocationType="InvokeModel")
    assert bench.finish(arn)["status"] == "Completed"
    vectors = {
        line["recordId"]: line["modelOutput"]["embedding"] for line in bench.output(arn, "a.jsonl.out")
    }
    assert vectors["R0"] == vectors["R2"] != vectors["R1"]
    assert bench.manifest(arn)["outputTokenCount"] == 0


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [
        ("amazon.titan-embed-text-v2:0", 512),
        ("amazon.titan-embed-image-v1", 384),
        ("amazon.nova-2-multimodal-embeddings-v1:0", 3072),
    ],
)
def test_what_batchline_asks_and_reads_of_embeddings(bench: Bench, model: str, dimensions: int) -> None:
    pipeline = Pipeline.model_validate(
        {
            "model": model,
            "prompt": "{{ text }}",
            "combine": "list",
            "inference": {"dimensions": dimensions},
        }
    )
    body = dialects.body(pipeline, [{"text": "港の市場"}], model, max_tokens=0)
    bench.put_records("jobs/a.jsonl", [{"recordId": f"R{n}", "modelInput": body} for n in range(100)])
    arn = bench.create(modelId=model, modelInvocationType="InvokeModel")
    assert bench.finish(arn)["successRecordCount"] == 100
    found = [dialects.embedded(json.dumps(line).encode()) for line in bench.output(arn, "a.jsonl.out")]
    assert {len(one.vector) for one in found} == {dimensions}


def test_output_of_many_parts(bench: Bench) -> None:
    """More than one window of records and more than one part of an upload."""
    padding = "It was heavy and slow to move. " * 120
    bench.put_records(
        "jobs/a.jsonl",
        [converse_record(n, f"{padding} Order {n} was delivered.") for n in range(2600)],
    )
    arn = bench.create()
    assert bench.finish(arn)["successRecordCount"] == 2600
    head = bench.s3.head_object(Bucket="output", Key=f"results/{arn[-12:]}/a.jsonl.out")
    assert head["ContentLength"] > 8 << 20
    ids = [line["recordId"] for line in bench.output(arn, "a.jsonl.out")]
    assert sorted(ids) == [f"R{n:07d}" for n in range(2600)]
    assert ids != sorted(ids)


def test_jobs_run_side_by_side(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    arns = [bench.create(f"job-{n}") for n in range(8)]
    bench.advance(4 * STEP)
    assert {bench.get(arn)["status"] for arn in arns} == {"Completed"}
    first = json.dumps(sorted(line["recordId"] for line in bench.output(arns[0], "a.jsonl.out")))
    assert all(
        json.dumps(sorted(line["recordId"] for line in bench.output(arn, "a.jsonl.out"))) == first
        for arn in arns
    )


def test_the_bill_counts_by_itself(bench: Bench) -> None:
    bench.control("POST", "reset")
    bench.control("PUT", "faults", {"missing_lines": 0.1, "duplicate_lines": 0.1, "record_errors": 0.1})
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(200)])
    arn = bench.create()
    bench.finish(arn)
    manifest = bench.manifest(arn)
    assert 0 < manifest["errorRecordCount"] < 200
    [batch] = bench.control("GET", "bill")["charged"]
    assert batch == {
        "model": "amazon.nova-lite-v1:0",
        "engine": "batch",
        "requests": manifest["successRecordCount"],
        "input_tokens": manifest["inputTokenCount"],
        "output_tokens": manifest["outputTokenCount"],
    }
    body = converse_record(1)["modelInput"]
    usages = [bench.runtime.converse(modelId=HAIKU, **body)["usage"] for _ in range(2)]
    titan = "amazon.titan-embed-text-v2:0"
    reply = bench.runtime.invoke_model(modelId=titan, body=json.dumps({"inputText": "Two words"}))
    vector = json.load(reply["body"])
    bench.runtime.count_tokens(
        modelId=HAIKU.removeprefix("us."), input={"converse": {"messages": body["messages"]}}
    )
    assert bench.control("GET", "bill")["charged"] == [
        batch,
        {
            "model": titan,
            "engine": "on_demand",
            "requests": 1,
            "input_tokens": vector["inputTextTokenCount"],
            "output_tokens": 0,
        },
        {
            "model": HAIKU.removeprefix("us."),
            "engine": "on_demand",
            "requests": 2,
            "input_tokens": 2 * usages[0]["inputTokens"],
            "output_tokens": sum(one["outputTokens"] for one in usages),
        },
    ]
    bench.control("POST", "reset")
    assert bench.control("GET", "bill") == {"charged": []}
