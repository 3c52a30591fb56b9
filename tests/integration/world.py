"""Batchline in one process: an AWS of the test with the template's tables and queues, and all seven stages.

A test says what is uploaded, how the model answers and what time it is; the world delivers messages
from each queue to its stage, as Lambda does, and again when they were not deleted.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, Protocol
from urllib.parse import quote_plus

from batchline import chunk, ids, settings
from batchline.aws import clients, dynamo
from batchline.aws.aggregate import Aggregator
from batchline.aws.bedrock import Bedrock
from batchline.aws.chunk import Chunker
from batchline.aws.collect import Collector
from batchline.aws.invoke import Invoker
from batchline.aws.pack import Packed, Packer
from batchline.aws.reconcile import Reconciled, Reconciler
from batchline.aws.runtime import Runtime
from batchline.aws.submit import Submitter
from batchline.models import DocumentStatus, JobStatus

from tests import template
from tests.integration.calls import Calls
from tests.integration.fake_bedrock import Account

INBOX, WORK = "batchline-inbox", "batchline-work"
PREFIX = "0a1b2c3d"
NOVA = "us.amazon.nova-lite-v1:0"
START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
MAX_RECEIVES = 5
BATCH_SIZES = {"UploadsQueue": 100, "DocumentsQueue": 10, "WakeQueue": 10}
STAGES = {
    "JobsQueue": "submit",
    "OnDemandQueue": "invoke",
    "JobEventsQueue": "collect",
    "DocumentsQueue": "aggregate",
}
RESTING = {one for one in DocumentStatus if one.terminal} | {DocumentStatus.HELD}
RUN_TIME = timedelta(seconds=900)
PACK_TIME = timedelta(seconds=100)

type Row = dict[str, Any]


@dataclass
class Clock:
    """The time, as the test sets it."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Message:
    id: str
    receipt: str
    body: Row
    receives: int


class Queue(Protocol):
    """A queue from inside: what can be received now, and all that it holds."""

    @property
    def messages(self) -> list[Any]: ...
    @property
    def _messages(self) -> list[Any]: ...


class Aws(Protocol):
    """What plays AWS; only its queues are looked into."""

    def queue(self, name: str) -> Queue: ...


@dataclass
class World:
    clock: Clock
    calls: Calls
    bedrock: Account
    queues: dict[str, str]
    aws: Aws
    slot_share: int = 80
    per_month: str = ""
    fatal: bool = False  # whether an error of a stage fails the test; if not, the message comes again
    errors: list[Exception] = field(default_factory=list)
    dead_letters: list[Message] = field(default_factory=list)
    deliveries: Counter[str] = field(default_factory=Counter)
    _owners: int = 0
    _sequencer: int = 0x0065A1B2

    # what people do

    def pipeline(self, name: str, **keys: Any) -> Row:
        """Upload a pipeline file; return S3's notification, which is also sent."""
        text = json.dumps({"model": NOVA, "prompt": "Say {{ text }}"} | keys)
        return self.upload(f"pipelines/{name}.yaml", text)

    def upload(self, key: str, data: str | bytes, *, send: bool = True) -> Row:
        content = data.encode() if isinstance(data, str) else data
        reply = clients.s3().put_object(Bucket=INBOX, Key=key, Body=content)
        body = self.notification(key, len(content), reply["VersionId"])
        if send:
            self.send("UploadsQueue", body)
        return body

    def notification(self, key: str, size: int, version_id: str) -> Row:
        self._sequencer += 1
        item = {
            "key": quote_plus(key, safe="/"),
            "size": size,
            "versionId": version_id,
            "sequencer": f"{self._sequencer:016X}",
        }
        return {"Records": [{"s3": {"bucket": {"name": INBOX}, "object": item}}]}

    # stages, each in a new process

    def environment[S](self, kind: type[S]) -> S:
        """Give a function its environment, from the names that it asks for."""
        known: Row = {
            "limits": "",
            "inbox_bucket": INBOX,
            "work_bucket": WORK,
            "bedrock_role_arn": "arn:aws:iam::000000000000:role/BedrockRole",
            "job_prefix": PREFIX,
            "slot_share": self.slot_share,
            "budget_per_month": self.per_month,
            "retention_days": 90,
        }
        known |= {f"{name.lower()}_table": name for name in template.tables()}
        known |= {snake_case(name): url for name, url in self.queues.items()}
        return kind(**{name: known[name] for name in kind.model_fields})

    def chunker(self) -> Chunker:
        return Chunker.connect(self.environment(settings.Chunk), self.clock)

    def packer(self) -> Packer:
        return Packer.connect(self.environment(settings.Pack), self.clock)

    def submitter(self) -> Submitter:
        made = Submitter.connect(self.environment(settings.Submit), self.clock)
        return replace(made, bedrock=Bedrock(self.bedrock))

    def invoker(self) -> Invoker:
        made = Invoker.connect(self.environment(settings.Invoke), self.clock)
        return replace(made, runtime=Runtime(self.bedrock), pause=self.clock.advance)

    def collector(self) -> Collector:
        made = Collector.connect(self.environment(settings.Collect), self.clock)
        return replace(made, bedrock=Bedrock(self.bedrock))

    def aggregator(self) -> Aggregator:
        return Aggregator.connect(self.environment(settings.Aggregate), self.clock)

    def reconciler(self) -> Reconciler:
        made = Reconciler.connect(self.environment(settings.Reconcile), self.clock)
        return replace(made, bedrock=Bedrock(self.bedrock))

    # running stages

    def pack(self, *, hop: int = 0) -> Packed:
        return self._run(
            "pack", lambda: self.packer().run(self.owner(), until=self.clock() + PACK_TIME, hop=hop), Packed()
        )

    def reconcile(self) -> Reconciled:
        return self._run("reconcile", lambda: self.reconciler().run(), Reconciled())

    def owner(self) -> str:
        """Name an invocation, as AWS's request id does."""
        self._owners += 1
        return f"request-{self._owners}"

    def _run[T](self, stage: str, do: Callable[[], T], otherwise: T) -> T:
        self.calls.begin(stage)
        try:
            returned = do()
        except Exception as error:
            if self.fatal:
                raise
            self.errors.append(error)
            returned = otherwise
        finally:
            self.calls.end()
        if self.calls.after:
            self.calls.after(returned)
        return returned

    def handle(self, queue: str, messages: list[Message]) -> set[str]:
        """Let the queue's stage work on messages. Return the ids of those it has not done."""
        if queue == "UploadsQueue":
            return self._chunk(messages)
        if queue == "WakeQueue":
            self.pack(hop=max(one.body["hop"] for one in messages))
            return set()
        failed = set()
        for one in messages:
            if self._run(STAGES[queue], partial(self._one, queue, one.body), "failed") == "failed":
                failed.add(one.id)
        return failed

    def _one(self, queue: str, body: Row) -> None:
        owner = self.owner()
        if queue == "JobsQueue":
            self.submitter().run(body["job_id"], owner, until=self.clock() + RUN_TIME)
        elif queue == "OnDemandQueue":
            self.invoker().run(body["job_id"], owner, until=self.clock() + RUN_TIME, hop=body.get("hop", 0))
        elif queue == "DocumentsQueue":
            self.aggregator().run(body["document_id"])
        else:
            detail = body.get("detail")
            job_id = ids.job_of(detail["batchJobName"], prefix=PREFIX) if detail else body["job_id"]
            if "part" in body:
                self.collector().read_part(body["job_id"], body["part"])
            elif job_id:
                self.collector().run(job_id, owner, until=self.clock() + RUN_TIME)

    def _chunk(self, messages: list[Message]) -> set[str]:
        """Do as the handler of chunk does: one by one, then flush for all."""
        everything = {one.id for one in messages}
        chunker = self.chunker()
        ordered = chunk.in_turn(messages, name=attrgetter("id"), receives=attrgetter("receives"))

        def take() -> set[str]:
            failed = set()
            for one in ordered:
                try:
                    chunker.take(
                        one.body, until=self.clock() + RUN_TIME, receives=one.receives, messages=len(ordered)
                    )
                except Exception as error:
                    if self.fatal:
                        raise
                    self.errors.append(error)
                    failed.add(one.id)
            chunker.flush()
            return failed

        return self._run("chunk", take, everything)

    # messages

    def send(self, queue: str, body: Row) -> None:
        clients.sqs().send_message(QueueUrl=self.queues[queue], MessageBody=json.dumps(body))

    def receive(self, queue: str, most: int = 10) -> list[Message]:
        """Take messages off a queue until their visibility timeout has passed."""
        found: list[Message] = []
        while len(found) < most:
            reply = clients.sqs().receive_message(
                QueueUrl=self.queues[queue],
                MaxNumberOfMessages=min(10, most - len(found)),
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
                WaitTimeSeconds=0,
            )
            if not reply.get("Messages"):
                break
            found += [
                Message(
                    one["MessageId"],
                    one["ReceiptHandle"],
                    json.loads(one["Body"]),
                    int(one["Attributes"]["ApproximateReceiveCount"]),
                )
                for one in reply["Messages"]
            ]
        return found

    def delete(self, queue: str, message: Message) -> None:
        clients.sqs().delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message.receipt)

    def deliver(self, queue: str, *, delete: bool = True) -> int:
        """Deliver one batch; what the stage has not done comes again. Return how many came."""
        messages = self.receive(queue, BATCH_SIZES.get(queue, 1)) if self.aws.queue(queue).messages else []
        if not messages:
            return 0
        self.deliveries[queue] += len(messages)
        failed = self.handle(queue, messages)
        for one in messages:
            if one.id in failed:
                if one.receives >= MAX_RECEIVES:
                    self.dead_letters.append(one)
                    self.delete(queue, one)
            elif delete:
                self.delete(queue, one)
        return len(messages)

    def deliver_all(self) -> None:
        """Deliver until nothing is visible in any queue."""
        while any(self.deliver(queue) for queue in self.queues):
            pass

    # time

    def end_jobs(self, *, tell: bool = True) -> None:
        """Let Bedrock end its running jobs and, unless the events are lost, say so."""
        for job in self.bedrock.work():
            if tell:
                self.send("JobEventsQueue", {"detail": {"batchJobName": job.name, "status": job.status}})

    def minute(self) -> None:
        """Let a minute pass: pack's schedule, every fifth reconcile's, Bedrock, all messages."""
        self.clock.advance(60)
        self.pack()
        if self.clock.at.minute % 5 == 0:
            self.reconcile()
        self.deliver_all()
        self.end_jobs()
        self.deliver_all()

    def run(self, minutes: int = 60) -> None:
        """Let time pass until every document rests and every job is closed."""
        self.deliver_all()
        for _ in range(minutes):
            if self.resting():
                return
            self.minute()
        assert self.resting(), f"not at rest after {minutes} minutes: {list(self.restless())}"

    def resting(self) -> bool:
        return not any(self.restless())

    def restless(self) -> Iterator[str]:
        """Tell what has not come to its end, what is cheapest to see first."""
        # A message that was not done yet comes again; a wake that is left over wakes for nothing.
        for queue in self.queues:
            if queue != "WakeQueue":
                yield from (f"{queue} {body}" for body in self.bodies(queue))
        for one in self.table("Documents"):
            if one["status"] not in RESTING:
                yield f"{one['document_id']} {one['status']}"
        for one in self.table("Jobs"):
            if one["status"] != JobStatus.CLOSED:
                yield f"{one['job_id']} {one['status']}"

    # what there is

    def table(self, name: str) -> list[Row]:
        pages = clients.dynamodb().get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
        return [dynamo.from_item(item) for page in pages for item in page["Items"]]

    def documents(self) -> list[Row]:
        return self.table("Documents")

    def document(self, key: str = "") -> Row:
        """The only document, or the only one of a key."""
        (found,) = [one for one in self.documents() if key in {"", one["source"]["key"]}]
        return found

    def jobs(self) -> list[Row]:
        """All jobs by the time of their opening; in no order where that is the same."""
        return sorted(self.table("Jobs"), key=lambda one: one["created_at"])

    def job(self) -> Row:
        (found,) = self.jobs()
        return found

    def results(self, document_id: str) -> list[Row]:
        found = [one for one in self.table("Results") if one["document_id"] == document_id]
        return sorted(found, key=lambda one: one["record"])

    def costs(self, scope: str = "") -> list[Row]:
        return [one for one in self.table("Costs") if one["scope"].startswith(scope)]

    def control(self, prefix: str) -> list[Row]:
        return [one for one in self.table("Control") if one["pk"].startswith(prefix)]

    def pending(self) -> list[Row]:
        return self.control("pending#")

    def object(self, key: str) -> bytes:
        return clients.s3().get_object(Bucket=WORK, Key=key)["Body"].read()

    def keys(self, prefix: str) -> Iterable[str]:
        reply = clients.s3().list_objects_v2(Bucket=WORK, Prefix=prefix)
        return [item["Key"] for item in reply.get("Contents", ())]

    def events(self) -> list[tuple[str, Row]]:
        """Type and detail of what was published on EventBridge."""
        return [
            (entry["DetailType"], json.loads(entry["Detail"]))
            for call in self.calls.of("events.PutEvents")
            for entry in call.parameters["Entries"]
        ]

    def bodies(self, queue: str) -> list[Row]:
        """Bodies of all messages in a queue, also of those that are not visible now."""
        return [json.loads(one.body) for one in self.aws.queue(queue)._messages]


def snake_case(name: str) -> str:
    """JobEventsQueue of the template is `job_events_queue` in the settings."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def create() -> dict[str, str]:
    """Make buckets, tables and queues; return the queues' URLs."""
    s3, sqs = clients.s3(), clients.sqs()
    for bucket in (INBOX, WORK):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=INBOX, VersioningConfiguration={"Status": "Enabled"})
    for arguments in template.tables().values():
        clients.dynamodb().create_table(**arguments)
    return {
        name: sqs.create_queue(**arguments)["QueueUrl"]
        for name, arguments in template.queues().items()
        if not name.endswith("DeadLetters")
    }
