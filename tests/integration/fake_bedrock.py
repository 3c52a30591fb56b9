"""A Bedrock in the test's process, at the level of boto3's clients.

It reads a job's input from the work bucket, checks what Bedrock checks, writes output and manifest in
Bedrock's format in another order, and remembers every record that was ever paid for.
"""

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from batchline.aws import clients
from batchline.models import Usage
from botocore.exceptions import ClientError

from tests.integration.calls import Calls

TYPICAL = Usage(100, 20)
NONE = Usage()


@dataclass(frozen=True)
class Say:
    """An answer: text, or an error with its HTTP status."""

    text: str = ""
    stop: str = "end_turn"
    usage: Usage = TYPICAL
    error: int | None = None


def prompt_of(body: dict[str, Any]) -> str:
    text: str = body["messages"][0]["content"][0]["text"]
    return text


def called(body: dict[str, Any]) -> str:
    """Name a single call. Converse knows no record id, so what was asked stands for it."""
    if "inputText" in body:
        return f"invoke {body['inputText']}"
    return f"converse {prompt_of(body)} {body['inferenceConfig']['maxTokens']}"


def echo(_record_id: str, body: dict[str, Any]) -> Say:
    """Answer with the prompt's first words, so that answers can be told from each other."""
    return Say(f"answer to {prompt_of(body)[:60]}")


def reply_of(said: Say) -> dict[str, Any]:
    usage = said.usage
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": said.text}]}},
        "stopReason": said.stop,
        "usage": {
            "inputTokens": usage.input_tokens,
            "outputTokens": usage.output_tokens,
            "totalTokens": sum(usage) - usage.reasoning_tokens,
            **({"cacheReadInputTokens": usage.cache_read_tokens} if usage.cache_read_tokens else {}),
            **({"cacheWriteInputTokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}),
        },
        "metrics": {"latencyMs": 1},
    }


def nothing(_record_id: str) -> bool:
    return False


@dataclass(frozen=True)
class Ending:
    """How a batch job ends, and what is odd about its output."""

    status: str = "Completed"
    message: str = ""
    left_out: Callable[[str], bool] = nothing
    twice: Callable[[str], bool] = nothing
    garbled: Callable[[str], bool] = nothing
    foreign: tuple[bytes, ...] = ()
    more_in_manifest: Usage = NONE
    manifest: bool = True


@dataclass
class Job:
    arn: str
    name: str
    token: str
    model: str
    input_uri: str
    output_uri: str
    submitted: datetime
    status: str = "InProgress"
    message: str = ""


@dataclass
class Account:
    """What Bedrock knows: its jobs, and what was paid for."""

    clock: Callable[[], datetime]
    calls: Calls
    answer: Callable[[str, dict[str, Any]], Say] = echo
    ending: Ending = field(default_factory=Ending)
    minimum: int = 100
    quota: int = 100
    refusal: tuple[str, str] | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    paid: Counter[str] = field(default_factory=Counter)
    billed: Usage = NONE
    tiers: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    token_counts: dict[str, int] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def running(self) -> list[Job]:
        return [one for one in self.jobs.values() if one.status in {"InProgress", "Stopping"}]

    def forget_tokens(self) -> None:
        self._tokens.clear()

    # the control plane

    def create_model_invocation_job(self, **asked: Any) -> dict[str, Any]:
        name = "bedrock.CreateModelInvocationJob"
        return self.calls.pass_on(name, asked, lambda: self._create(asked))

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        token = asked["clientRequestToken"]
        if token in self._tokens:
            return {"jobArn": self._tokens[token]}
        if self.refusal:
            raise error("CreateModelInvocationJob", *self.refusal)
        if len(self.running()) >= self.quota:
            raise error("CreateModelInvocationJob", "ServiceQuotaExceededException", "too many jobs")
        assert asked["modelInvocationType"] == "Converse"
        arn = f"arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/{len(self.jobs):012d}"
        self.jobs[arn] = Job(
            arn,
            asked["jobName"],
            token,
            asked["modelId"],
            asked["inputDataConfig"]["s3InputDataConfig"]["s3Uri"],
            asked["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"],
            self.clock(),
        )
        self._tokens[token] = arn
        return {"jobArn": arn}

    def get_paginator(self, operation: str) -> "Listing":
        assert operation == "list_model_invocation_jobs"
        return Listing(self)

    def get_model_invocation_job(self, **asked: Any) -> dict[str, Any]:
        job = self.jobs[asked["jobIdentifier"]]
        found = {"jobArn": job.arn, "status": job.status, "message": job.message}
        return self.calls.pass_on("bedrock.GetModelInvocationJob", asked, lambda: found)

    def stop_model_invocation_job(self, **asked: Any) -> dict[str, Any]:
        return self.calls.pass_on("bedrock.StopModelInvocationJob", asked, lambda: self._stop(asked))

    def _stop(self, asked: dict[str, Any]) -> dict[str, Any]:
        job = self.jobs[asked["jobIdentifier"]]
        if job.status != "InProgress":
            raise error("StopModelInvocationJob", "ConflictException", f"the job is {job.status}")
        job.status = "Stopping"
        return {}

    # the runtime

    def converse(self, **asked: Any) -> dict[str, Any]:
        return self.calls.pass_on("bedrock.Converse", asked, lambda: self._converse(asked))

    def _converse(self, asked: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in asked.items() if name not in {"modelId", "serviceTier"}}
        self.tiers.append(asked.get("serviceTier", {}).get("type", "default"))
        said = self.answer("", body)
        if said.error:
            raise error("Converse", "ModelErrorException", "the model failed", status=said.error)
        self.paid[called(body)] += 1
        self.billed += said.usage
        return reply_of(said) | {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def invoke_model(self, **asked: Any) -> dict[str, Any]:
        """Embed a text as Titan does: a vector of its length."""
        return self.calls.pass_on("bedrock.InvokeModel", asked, lambda: self._invoke(asked))

    def _invoke(self, asked: dict[str, Any]) -> dict[str, Any]:
        body = json.loads(asked["body"])
        usage = Usage(len(body["inputText"]), 0)
        self.paid[called(body)] += 1
        self.billed += usage
        reply = {"embedding": [0.5] * body["dimensions"], "inputTextTokenCount": usage.input_tokens}
        return {
            "body": io.BytesIO(json.dumps(reply).encode()),
            "ResponseMetadata": {
                "HTTPStatusCode": 200,
                "HTTPHeaders": {"x-amzn-bedrock-input-token-count": str(usage.input_tokens)},
            },
        }

    def count_tokens(self, **asked: Any) -> dict[str, Any]:
        """Count as many tokens for each request as `token_counts` says of its model."""

        def count() -> dict[str, Any]:
            if asked["modelId"] not in self.token_counts:
                message = "The provided model doesn't support counting tokens."
                raise error("CountTokens", "ValidationException", message)
            return {"inputTokens": self.token_counts[asked["modelId"]]}

        return self.calls.pass_on("bedrock.CountTokens", asked, count)

    # batch jobs

    def work(self) -> list[Job]:
        """End all running jobs and return them."""
        ended = self.running()
        for job in ended:
            self._end(job)
        return ended

    def _end(self, job: Job) -> None:
        files = dict(self._input(job.input_uri))
        records = [json.loads(line) for data in files.values() for line in data.splitlines()]
        names = [one["recordId"] for one in records]
        assert len(set(names)) == len(names), "a record stands twice in the input of one job"
        ending = self.ending
        if job.status == "Stopping":  # what was answered until then is there, and paid
            job.status = "Stopped"
            self._write(job, files, ending)
            return
        if len(records) < self.minimum:
            job.status, job.message = "Failed", f"needs at least {self.minimum} records"
            return
        job.status, job.message = ending.status, ending.message
        if ending.status in {"Failed", "Expired"}:
            return
        self._write(job, files, ending)

    def _write(self, job: Job, files: dict[str, bytes], ending: Ending) -> None:
        usage, good, bad = Usage(), 0, 0
        bucket, prefix = _split(job.output_uri)
        folder = f"{prefix}{job.arn[-12:]}/"
        for key, data in files.items():
            lines: list[bytes] = []
            for asked in map(json.loads, data.splitlines()):
                name = asked["recordId"]
                if ending.left_out(name):
                    continue
                said = self.answer(name, asked["modelInput"])
                lines.append(_line(asked, said))
                if said.error:
                    bad += 1
                    continue
                good, usage = good + 1, usage + said.usage
                self.paid[name] += 1
                if ending.twice(name):
                    lines.append(_line(asked, said))
                    usage += said.usage
                if ending.garbled(name):
                    lines[-1] = lines[-1][: len(lines[-1]) // 2]
            random.Random(job.name).shuffle(lines)
            lines += ending.foreign
            name = key.rsplit("/", 1)[-1]
            self._put(bucket, f"{folder}{name}.out", b"\n".join(lines) + b"\n")
        usage += ending.more_in_manifest + sum(map(_usage, ending.foreign), Usage())
        self.billed += usage
        if ending.manifest:
            counts = {
                "totalRecordCount": good + bad,
                "processedRecordCount": good + bad,
                "successRecordCount": good,
                "errorRecordCount": bad,
                "inputTokenCount": usage.input_tokens,
                "outputTokenCount": usage.output_tokens,
            }
            self._put(bucket, f"{folder}manifest.json.out", json.dumps(counts).encode())

    @staticmethod
    def _input(uri: str) -> Iterator[tuple[str, bytes]]:
        bucket, key = _split(uri)
        s3 = clients.s3()
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]:
            if item["Key"].endswith(".jsonl"):
                yield item["Key"], s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()

    @staticmethod
    def _put(bucket: str, key: str, data: bytes) -> None:
        clients.s3().put_object(Bucket=bucket, Key=key, Body=data)


@dataclass(frozen=True)
class Listing:
    """ListModelInvocationJobs, page by page."""

    account: Account

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        def read() -> list[dict[str, str]]:
            return [
                {"jobArn": one.arn, "jobName": one.name}
                for one in self.account.jobs.values()
                if asked["nameContains"] in one.name and one.submitted >= asked["submitTimeAfter"]
            ]

        found = self.account.calls.pass_on("bedrock.ListModelInvocationJobs", asked, read)
        yield {"invocationJobSummaries": found}


def error(operation: str, code: str, message: str, *, status: int = 400) -> ClientError:
    reply: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(reply, operation)


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _usage(line: bytes) -> Usage:
    """Read what a line says that it cost."""
    said = json.loads(line)["modelOutput"]["usage"]
    return Usage(said["inputTokens"], said["outputTokens"])


def _line(asked: dict[str, Any], said: Say) -> bytes:
    if said.error:
        failure = {"errorCode": said.error, "errorMessage": "the model failed"}
        return json.dumps(asked | {"error": failure}).encode()
    return json.dumps(asked | {"modelOutput": reply_of(said)}).encode()
