"""The emulator as a process of its own, told what to do by options, variables and a scenario."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from .conftest import Bench, client, converse_record, wait_until

ROOT = Path(__file__).parents[3]


@contextmanager
def process(*options: str, **variables: str) -> Iterator[str]:
    """Run `python -m local.bedrock` on a free port and yield its URL."""
    running = subprocess.Popen(
        [sys.executable, "-m", "local.bedrock", "--port", "0", *options],
        cwd=ROOT,
        env={**os.environ, **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(running.stderr or ()))
    try:
        url = None
        while url is None:
            line = running.stderr.readline()
            assert line, "the emulator ended before it served"
            url = re.search(r"running on (http://[\d.:]+)", line)
        reader.start()
        yield url[1]
    finally:
        running.terminate()
        running.wait(timeout=20)
        reader.join(timeout=20)
        running.stderr.close()


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def test_a_job_completes_by_itself(bench: Bench) -> None:
    bench.put_records("jobs/a.jsonl", [converse_record(n) for n in range(100)])
    variables = {"AWS_ENDPOINT_URL": bench.aws_url}
    with process("--step-seconds", "0.05", **variables) as url:
        assert get(f"{url}/_emulator/health")["status"] == "ok"
        mine = Bench(url, bench.aws_url)
        arn = mine.create()
        wait_until(lambda: mine.get(arn)["status"] == "Completed")
        assert mine.get(arn)["successRecordCount"] == 100


def test_boto3_needs_nothing_but_the_two_endpoint_variables(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", bench.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", bench.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert boto3.client("bedrock").list_model_invocation_jobs()["invocationJobSummaries"] == []
    messages = [{"role": "user", "content": [{"text": "Hello."}]}]
    answer = boto3.client("bedrock-runtime").converse(modelId="us.amazon.nova-lite-v1:0", messages=messages)
    assert answer["stopReason"] == "end_turn"


def test_a_scenario_sets_faults_limits_and_guardrails(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        """
        faults: {api: [{operation: ListModelInvocationJobs, code: AccessDeniedException}]}
        limits: {min_records: 2}
        guardrails: {g1: {words: [secret]}}
        """
    )
    with process("--scenario", str(scenario)) as url:
        assert get(f"{url}/_emulator/limits")["min_records"] == 2
        with pytest.raises(ClientError, match="AccessDeniedException"):
            client("bedrock", url).list_model_invocation_jobs()
        answer = client("bedrock-runtime", url).apply_guardrail(
            guardrailIdentifier="g1",
            guardrailVersion="1",
            source="INPUT",
            content=[{"text": {"text": "a secret"}}],
        )
        assert answer["action"] == "GUARDRAIL_INTERVENED"


def test_faults_come_from_a_variable_and_the_seed_from_an_option() -> None:
    faults = json.dumps({"record_errors": 0.5})
    with process("--seed", "9", BEDROCK_EMULATOR_FAULTS=faults) as url:
        plan = get(f"{url}/_emulator/faults")
        assert (plan["record_errors"], plan["seed"]) == (0.5, 9)


def test_a_wrong_fault_is_refused_with_its_place(bench: Bench) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        bench.control("PUT", "faults", {"record_errors": 2})
    assert refused.value.code == 400
    assert json.load(refused.value)["errors"][0]["loc"] == ["record_errors"]
    refused.value.close()
