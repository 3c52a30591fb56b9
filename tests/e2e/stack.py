"""The deployed stack as a person meets it: a bucket to drop files in, and tables to read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import boto3
import localstack_client.session
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
