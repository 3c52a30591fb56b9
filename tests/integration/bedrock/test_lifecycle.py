"""A job's way through its states, and what it leaves in S3."""

import json
import re

import pytest
from botocore.exceptions import ClientError

from local.bedrock import inference, wire

from .conftest import NOVA, STEP, Bench, converse_record


def test_a_job_passes_every_state_and_answers_every_record(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    arn = bench.create()
    seen = [bench.get(arn)["status"]]
    for _ in range(4):
        bench.advance()
        seen.append(bench.get(arn)["status"])

    assert seen == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    job_id = re.fullmatch(r"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/([a-z0-9]{12})", arn)[
        1
    ]
    listed = bench.s3.list_objects_v2(Bucket="output")["Contents"]
    assert [item["Key"] for item in listed] == [
        f"results/{job_id}/a.jsonl.out",
        f"results/{job_id}/manifest.json.out",
    ]
    lines = bench.output(arn, "a.jsonl.out")
    ids = [line["recordId"] for line in lines]
    assert sorted(ids) == [f"R{n:07d}" for n in range(100)]
    assert ids != sorted(ids)
    for line in lines:
        number = int(line["recordId"][1:])
        assert set(line) == {"recordId", "modelInput", "modelOutput"}
        assert line["modelInput"] == converse_record(number)["modelInput"]
        [block] = line["modelOutput"]["output"]["message"]["content"]
        assert block["text"] in {
            f"Order {number} was delivered to the warehouse.",
            f"It holds {number} boxes.",
        }


def test_manifest_and_counters_add_up(bench: Bench) -> None:
    records = [converse_record(n) for n in range(120)]
    for record in records[:20]:
        record["modelInput"]["messages"] = []
    bench.put_records("jobs/a.jsonl", records)
    arn = bench.create()
    job = bench.finish(arn)

    usage = [
        line["modelOutput"]["usage"] for line in bench.output(arn, "a.jsonl.out") if "modelOutput" in line
    ]
    assert bench.manifest(arn) == {
        "totalRecordCount": 120,
        "processedRecordCount": 120,
        "successRecordCount": 100,
        "errorRecordCount": 20,
        "inputTokenCount": sum(u["inputTokens"] for u in usage),
        "outputTokenCount": sum(u["outputTokens"] for u in usage),
    }
    assert job["status"] == "Completed"
    assert (job["totalRecordCount"], job["errorRecordCount"]) == (120, 20)


def test_a_job_whose_every_record_fails_is_completed(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n, toolConfig={"tools": []}) for n in range(100)])
    arn = bench.create()
    assert bench.finish(arn)["status"] == "Completed"
    errors = [line["error"] for line in bench.output(arn, "a.jsonl.out")]
    assert {error["errorCode"] for error in errors} == {400}
    assert bench.manifest(arn)["errorRecordCount"] == 100


def test_too_few_records_fail_after_validation_with_the_words_of_aws(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(1)])
    arn = bench.create()
    bench.advance()
    assert bench.get(arn)["status"] == "Validating"
    bench.advance()
    job = bench.get(arn)
    assert job["status"] == "Failed"
    assert job["message"] == ("Batch job contains less records (1) than the required minimum of: 100")
    assert job["totalRecordCount"] == 0


def test_records_are_counted_over_all_files_below_the_folder(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(60)])
    bench.put_records("jobs/deeper/b.jsonl", [converse_record(n) for n in range(60, 110)])
    bench.s3.put_object(Bucket="input", Key="jobs/notes.txt", Body=b"not a record")
    arn = bench.create()
    assert bench.finish(arn)["status"] == "Completed"
    assert len(bench.output(arn, "a.jsonl.out")) == 60
    assert len(bench.output(arn, "deeper/b.jsonl.out")) == 50


def test_a_single_file_is_the_whole_input(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    bench.put_records("jobs/b.jsonl", [converse_record(n) for n in range(100)])
    arn = bench.create(inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://input/jobs/a.jsonl"}})
    assert bench.finish(arn)["totalRecordCount"] == 100


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"{not json", "is not valid JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"recordId": "X"}', "has no modelInput object"),
        (b'{"recordId": 7, "modelInput": {}}', "recordId that is not a string"),
        (b"", "is not valid JSON"),
        (json.dumps(converse_record(3)).encode(), "repeats a recordId"),
    ],
)
def test_one_bad_line_fails_the_job(bench: Bench, bad: bytes, message: str) -> None:
    lines = [json.dumps(converse_record(n)).encode() for n in range(120)]
    lines.insert(50, bad)
    bench.s3.put_object(Bucket="input", Key="jobs/a.jsonl", Body=b"\n".join(lines))
    arn = bench.create()
    job = bench.finish(arn)
    assert job["status"] == "Failed"
    assert message in job["message"]
    assert "Contents" not in bench.s3.list_objects_v2(Bucket="output")


def test_a_missing_record_id_is_made_up(bench: Bench) -> None:
    records = [converse_record(n) for n in range(100)]
    for record in records:
        del record["recordId"]
    bench.put_records("jobs/a.jsonl", records)
    arn = bench.create()
    bench.finish(arn)
    ids = {line["recordId"] for line in bench.output(arn, "a.jsonl.out")}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9A-F]{11}", made) for made in ids)


@pytest.mark.parametrize("side", ["inputDataConfig", "outputDataConfig"])
def test_a_missing_bucket_is_found_by_validation(bench: Bench, side: str) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    inner = side.replace("DataConfig", "").title()
    arn = bench.create(**{side: {f"s3{inner}DataConfig": {"s3Uri": "s3://nowhere/x/"}}})
    job = bench.finish(arn)
    assert job["status"] == "Failed"
    assert "s3://nowhere/x/ does not exist or cannot be accessed" in job["message"]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_records_per_file": 99}, "Input file a.jsonl contains more records than the maximum"),
        ({"max_records_per_job": 99}, "Batch job contains more records than the maximum of: 99"),
        ({"max_file_bytes": 1000}, "Input file a.jsonl is larger"),
        ({"max_large_job_bytes": 1000}, "Batch job input is larger"),
    ],
)
def test_quotas_of_the_input_are_checked(bench: Bench, limits: dict, message: str) -> None:
    bench.control("PUT", "limits", limits)
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    job = bench.finish(bench.create())
    assert job["status"] == "Failed"
    assert message in job["message"]


@pytest.mark.parametrize("states", [0, 1, 2, 3])
def test_a_stop_passes_stopping_and_ends_stopped(bench: Bench, states: int) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    arn = bench.create()
    bench.advance(states * STEP)
    assert (
        bench.bedrock.stop_model_invocation_job(jobIdentifier=arn)["ResponseMetadata"]["HTTPStatusCode"]
        == 200
    )
    assert bench.get(arn)["status"] == "Stopping"
    bench.advance(2 * STEP)
    assert bench.get(arn)["status"] == "Stopped"
    assert "endTime" in bench.get(arn)
    with pytest.raises(ClientError) as refused:
        bench.bedrock.stop_model_invocation_job(jobIdentifier=arn)
    assert refused.value.response["Error"]["Code"] == "ConflictException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_an_error_of_the_emulator_fails_the_job_and_not_the_server(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    monkeypatch.setattr(inference, "converse_record", broken)
    job = bench.finish(bench.create())
    assert (job["status"], job["message"]) == ("Failed", "An internal error occurred.")
    monkeypatch.setattr(wire, "parse", broken)
    with pytest.raises(ClientError) as failed:
        bench.get(job["jobArn"])
    assert failed.value.response["Error"]["Code"] == "InternalServerException"


def test_kms_key_is_passed_to_s3(bench: Bench) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/12345678-1234-1234-1234-123456789012"
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    arn = bench.create(
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://output/results/", "s3EncryptionKeyId": key}}
    )
    bench.finish(arn)
    head = bench.s3.head_object(Bucket="output", Key=f"results/{arn[-12:]}/manifest.json.out")
    assert head["SSEKMSKeyId"] == key


def test_slots_are_counted_per_base_model(bench: Bench) -> None:
    bench.control("PUT", "limits", {"max_jobs_per_model": 1})
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    first = bench.create("one")
    with pytest.raises(ClientError) as refused:
        bench.create("two", modelId="amazon.nova-lite-v1:0")
    assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    bench.create("three", modelId="us.amazon.nova-micro-v1:0")
    bench.finish(first)
    assert bench.create("two", modelId=NOVA)
