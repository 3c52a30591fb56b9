"""The deployed stack as a person meets it: a bucket to drop files in, and tables to read."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import localstack_client.session
from batchline.ids import RecordId
from batchline.models import DocumentStatus

from local.settings import REPOSITORY
from tests.waiting import eventually

SAMPLES = REPOSITORY / "samples"
TIMEOUT_S = 90.0
QUEUES = ("Uploads", "Wake", "Jobs", "OnDemand", "JobEvents", "Documents")
FUNCTIONS = ("Chunk", "Pack", "Submit", "Invoke", "Collect", "Aggregate", "Reconcile")


@dataclass(frozen=True)
class Stack:
    session: Any
    outputs: Mapping[str, str]

    @classmethod
    def connect(cls) -> "Stack":
        session = localstack_client.session.Session()
        described = session.client("cloudformation").describe_stacks(StackName="batchline")
        outputs = described["Stacks"][0]["Outputs"]
        return cls(session, {one["OutputKey"]: one["OutputValue"] for one in outputs})

    def drop(self, key: str, body: bytes) -> str:
        """Put an object into the inbox and return its key."""
        bucket = self.outputs["InboxBucket"]
        self.session.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        return key

    def publish(self, name: str, pipeline: str) -> None:
        """Put a pipeline into the inbox and wait until it is in force."""
        self.drop(f"pipelines/{name}.yaml", pipeline.encode())
        eventually(lambda: f"pipeline#{name}" in {row["pk"] for row in self.rows("Control")})

    def drop_samples(self, folder: str) -> list[str]:
        paths = [p for p in sorted((SAMPLES / folder).rglob("*")) if p.is_file()]
        return [self.drop(p.relative_to(SAMPLES).as_posix(), p.read_bytes()) for p in paths]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a whole table; `table` as its output is called, without `Table`."""
        pages = self.session.resource("dynamodb").Table(self.outputs[f"{table}Table"])
        found, start = [], {}
        while True:
            page = pages.scan(ConsistentRead=True, **start)
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                return found
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def documents(self, *keys: str) -> dict[str, dict[str, Any]]:
        """Read the rows of documents by the key of their upload, those in archives by `key/member`."""
        rows = {
            "/".join([row["source"]["key"], *filter(None, [row["source"].get("member")])]): row
            for row in self.rows("Documents")
        }
        return {key: rows[key] for key in keys if key in rows}

    def ended(self, *keys: str) -> dict[str, dict[str, Any]]:
        """Wait until the documents of these keys have ended."""

        def all_ended() -> dict[str, dict[str, Any]] | None:
            rows = self.documents(*keys)
            ends = [DocumentStatus(row["status"]).terminal for row in rows.values()]
            return rows if len(rows) == len(keys) and all(ends) else None

        return eventually(all_ended, seconds=TIMEOUT_S)

    def read(self, key: str) -> bytes:
        """Read an object of the work bucket."""
        bucket = self.outputs["WorkBucket"]
        body: bytes = self.session.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return body

    def asked(self) -> dict[str, list[dict[str, Any]]]:
        """Read all requests that were ever registered, by the id of their document."""
        s3, bucket = self.session.client("s3"), self.outputs["WorkBucket"]
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="shards/")
        found: dict[str, list[dict[str, Any]]] = {}
        for one in (one for page in pages for one in page.get("Contents", ())):
            for line in self.read(one["Key"]).splitlines():
                request = json.loads(line)
                record = RecordId.parse(request["recordId"])
                assert record is not None
                found.setdefault(record.document_id, []).append(request["modelInput"])
        return found

    def jobs_of(self, pipeline: str) -> list[dict[str, Any]]:
        """Read the jobs with records of a pipeline, the oldest first."""
        rows = [row for row in self.rows("Jobs") if pipeline in row["pipelines"]]
        return sorted(rows, key=lambda row: str(row["created_at"]))

    def command(self, *arguments: str) -> Any:
        """Run the command line as a process of its own, and read what it answers as JSON."""
        program = Path(sys.executable).parent / "batchline"
        done = subprocess.run(
            [program, "--json", *arguments], check=False, capture_output=True, env=dict(os.environ)
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def bill(self) -> list[dict[str, Any]]:
        """Read what the emulator has charged, as it has counted it itself."""
        with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL_BEDROCK"] + "/_emulator/bill") as reply:
            charged: list[dict[str, Any]] = json.load(reply)["charged"]
        return charged

    @contextlib.contextmanager
    def faults(self, **plan: Any) -> Iterator[None]:
        """Have the emulator break things meanwhile."""
        self._put_faults(plan)
        try:
            yield
        finally:
            self._put_faults({})

    @contextlib.contextmanager
    def deaf(self, queue: str) -> Iterator[None]:
        """Have no function listen to a queue meanwhile."""
        functions = self.session.client("lambda")
        arn = self.session.client("sqs").get_queue_attributes(
            QueueUrl=self.outputs[f"{queue}Queue"], AttributeNames=["QueueArn"]
        )["Attributes"]["QueueArn"]
        [mapping] = functions.list_event_source_mappings(EventSourceArn=arn)["EventSourceMappings"]

        def switch(*, on: bool) -> None:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)
            state = "Enabled" if on else "Disabled"
            eventually(lambda: functions.get_event_source_mapping(UUID=mapping["UUID"])["State"] == state)

        switch(on=False)
        try:
            yield
        finally:
            switch(on=True)

    def _put_faults(self, plan: dict[str, Any]) -> None:
        url = os.environ["AWS_ENDPOINT_URL_BEDROCK"] + "/_emulator/faults"
        urllib.request.urlopen(urllib.request.Request(url, json.dumps(plan).encode(), method="PUT")).close()

    def closed_jobs(self) -> list[dict[str, Any]]:
        """Wait until every job is closed."""

        def all_closed() -> list[dict[str, Any]] | None:
            rows = self.rows("Jobs")
            return rows if all(row["status"] == "CLOSED" for row in rows) else None

        return eventually(all_closed, seconds=TIMEOUT_S)

    def waiting_messages(self) -> dict[str, int]:
        """Count what waits in queues and dead-letter queues."""
        sqs = self.session.client("sqs")
        counts = {}
        for name in QUEUES:
            url = self.outputs[f"{name}Queue"]
            every = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            counts[name] = sum(
                int(every[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed")
            )
            target = json.loads(every["RedrivePolicy"])["deadLetterTargetArn"].rsplit(":", 1)[-1]
            dead = sqs.get_queue_attributes(
                QueueUrl=sqs.get_queue_url(QueueName=target)["QueueUrl"], AttributeNames=["All"]
            )["Attributes"]
            counts[f"{name} dead letters"] = int(dead["ApproximateNumberOfMessages"])
        return counts

    def logs(self) -> str:
        """Read everything that the functions have logged."""
        logs = self.session.client("logs")
        names = [
            group["logGroupName"]
            for page in logs.get_paginator("describe_log_groups").paginate()
            for group in page["logGroups"]
            if any(f"batchline-{name}" in group["logGroupName"] for name in FUNCTIONS)
        ]
        pages = logs.get_paginator("filter_log_events")
        return "\n".join(
            event["message"]
            for name in names
            for page in pages.paginate(logGroupName=name)
            for event in page["events"]
        )

    def batch_jobs_at_bedrock(self) -> list[dict[str, Any]]:
        jobs = boto3.client("bedrock").list_model_invocation_jobs()["invocationJobSummaries"]
        return list(jobs)


def total(rows: list[dict[str, Any]], name: str) -> Decimal:
    return sum((row[name] for row in rows), Decimal(0))
