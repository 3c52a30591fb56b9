"""Programs of other people finish a batch job against the emulator with nothing but variables set.

Optional: they live in an environment of their own, `.local/clients`, made from
requirements/clients.txt; without it these tests are skipped.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from ..conftest import Target

ROOT = Path(__file__).parents[3]
ENVIRONMENT = Path(os.environ.get("BATCHLINE_CLIENTS", ROOT / ".local" / "clients"))
PYTHON = ENVIRONMENT / "bin" / "python"
LINES = [
    {
        "recordId": f"R{number:04d}",
        "modelInput": {
            "messages": [
                {"role": "user", "content": [{"text": f"Summarize:\n\nShip {number} reached the harbour."}]}
            ]
        },
    }
    for number in range(100)
]
ANSWERS = {f"R{number:04d}": f"Ship {number} reached the harbour." for number in range(100)}

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="the clients' environment is not installed")


@pytest.fixture
def variables(target: Target, tmp_path: Path) -> dict[str, str]:
    if target.bedrock_url is None or target.aws_url is None:
        pytest.skip("meant for an emulator")
    config = tmp_path / "config"
    config.write_text(
        "[profile local]\naws_access_key_id = test\naws_secret_access_key = test\nregion = us-east-1\n"
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_PROFILE": "local",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL": target.aws_url,
        "AWS_ENDPOINT_URL_BEDROCK": target.bedrock_url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": target.bedrock_url,
    }


@pytest.fixture
def bucket(target: Target) -> str:
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.client("s3", endpoint_url=target.aws_url).create_bucket(Bucket="clients")
    return "clients"


def run(command: list[str], variables: dict[str, str]) -> Any:
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


@pytest.mark.source("https://pypi.org/project/llmbo-bedrock/")
def test_llmbo(target: Target, variables: dict[str, str], bucket: str, tmp_path: Path) -> None:
    iam = boto3.Session("test", "test", region_name="us-east-1").client("iam", endpoint_url=target.aws_url)
    role = iam.create_role(RoleName="llmbo", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    script = str(Path(__file__).with_name("use_llmbo.py"))
    model = "anthropic.claude-3-haiku-20240307-v1:0"
    done = run([str(PYTHON), script, role, bucket, model, str(tmp_path)], variables)
    assert done == {"status": "Completed", "answers": ANSWERS}


@pytest.mark.source("https://pypi.org/project/any-llm-sdk/")
def test_any_llm(target: Target, variables: dict[str, str], bucket: str, s3: Any) -> None:
    body = "\n".join(json.dumps(line) for line in LINES)
    s3.put_object(Bucket=bucket, Key="any-llm/input.jsonl", Body=body.encode())
    script = str(Path(__file__).with_name("use_any_llm.py"))
    done = run([str(PYTHON), script, target.role, bucket, target.model], variables)
    assert done == {"status": "completed", "answers": ANSWERS}


@pytest.mark.source(
    "https://docs.aws.amazon.com/cli/latest/reference/bedrock/create-model-invocation-job.html"
)
def test_aws_cli(target: Target, variables: dict[str, str], bucket: str, s3: Any, tmp_path: Path) -> None:
    def aws(*arguments: str) -> Any:
        return run([str(PYTHON), "-m", "awscli", *arguments], variables)

    records = tmp_path / "input.jsonl"
    records.write_text("\n".join(json.dumps(line) for line in LINES))
    s3.upload_file(str(records), bucket, "cli/input.jsonl")
    source = {"s3InputDataConfig": {"s3Uri": f"s3://{bucket}/cli/input.jsonl"}}
    sink = {"s3OutputDataConfig": {"s3Uri": f"s3://{bucket}/cli/output/"}}
    arn = aws(
        "bedrock", "create-model-invocation-job", "--job-name", "cli-job", "--role-arn", target.role,
        "--model-id", target.model, "--model-invocation-type", "Converse",
        "--input-data-config", json.dumps(source), "--output-data-config", json.dumps(sink),
    )["jobArn"]  # fmt: skip
    job: Any = {"status": "Submitted"}
    while job["status"] in {"Submitted", "Validating", "Scheduled", "InProgress"}:
        job = aws("bedrock", "get-model-invocation-job", "--job-identifier", arn)
    assert (job["status"], job["successRecordCount"]) == ("Completed", 100)
    listed = aws("bedrock", "list-model-invocation-jobs", "--name-contains", "cli-job")
    assert [summary["jobArn"] for summary in listed["invocationJobSummaries"]] == [arn]
    key = f"cli/output/{arn.rsplit('/', 1)[1]}/input.jsonl.out"
    lines = s3.get_object(Bucket=bucket, Key=key)["Body"].read().splitlines()
    found = {line["recordId"]: line["modelOutput"] for line in map(json.loads, lines)}
    texts = {r: output["output"]["message"]["content"][0]["text"] for r, output in found.items()}
    assert texts == ANSWERS
