"""Measures collect: records per second to parse, join and validate, and peak memory of a whole job.

Run it alone: `python bench/collecting.py`. The first figure is one core's work on lines of 2 KB without any
table: reading lines, decoding, finding the record in the plan, parsing and validating the answer, deciding,
summing up. The second runs collect and close on jobs of 100,000 and 1,000,000 records, each in a process of
its own, with tables and a bucket that keep nothing but the output's bytes on disk.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import memory
import orjson
from batchline import collect, pipelines
from batchline.aws import close, dynamo, objects, output
from batchline.aws.afford import Affording
from batchline.aws.close import Closer
from batchline.aws.lease import JobLease
from batchline.aws.objects import StoredObject
from batchline.aws.output import OutputReader
from batchline.models import Shard
from batchline.outcomes import Expected, Outcome, Outcomes, Summaries, Summary
from batchline.pipelines import Pipeline

PIPELINE = pipelines.parse(
    b"""
model: us.amazon.nova-lite-v1:0
prompt: "List the obligations in {{ text }}"
output:
  schema:
    type: object
    required: [obligations, sure]
    properties:
      obligations:
        type: array
        items: {type: object, properties: {who: {type: string}, what: {type: string}}}
      sure: {type: number, minimum: 0, maximum: 1}
"""
)
ANSWER = json.dumps(
    {
        "obligations": [
            {"who": "the tenant", "what": "pays 1,200 EUR on the third working day of each month"},
            {"who": "the landlord", "what": "keeps the roof, the heating and the pipes in repair"},
            {"who": "both", "what": "give notice in writing three months before the end of a quarter"},
        ],
        "sure": 0.97,
    }
)
LINE_BYTES = 2_000
PER_SHARD = 2_000
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def line(record_id: str) -> bytes:
    """Write a line of a job's output, with the echo of its input, of 2 KB."""
    said = {
        "output": {"message": {"role": "assistant", "content": [{"text": ANSWER}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 400, "outputTokens": 90, "totalTokens": 490},
        "metrics": {"latencyMs": 900},
    }
    asked = {"messages": [{"role": "user", "content": [{"text": ""}]}], "inferenceConfig": {"maxTokens": 500}}
    whole = {"recordId": record_id, "modelInput": asked, "modelOutput": said}
    asked["messages"][0]["content"][0]["text"] = "x" * (LINE_BYTES - len(orjson.dumps(whole)) - 1)  # type: ignore[index]
    return orjson.dumps(whole) + b"\n"


def record_id(number: int, per_document: int) -> str:
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    document, index = divmod(number, per_document)
    name = "".join(digits[document >> (5 * place) & 31] for place in range(16))
    return f"{name}m{index:07d}1"


def shards(records: int, per_document: int) -> Iterator[Shard]:
    """Yield the plan of a job of documents of so many records."""
    for first in range(0, records, PER_SHARD):
        names = [record_id(n, per_document) for n in range(first, first + PER_SHARD, per_document)]
        yield Shard(
            shard_id=f"s{first}",
            lane="m#Converse",
            key=f"shards/s{first}.jsonl",
            pipeline="p",
            version="v",
            model="us.amazon.nova-lite-v1:0",
            too_few="wait",
            records=PER_SHARD,
            bytes=1,
            input_tokens=1,
            output_tokens=1,
            created_at="2026-11-22T00:00:00.000Z",
            first_at="2026-11-22T00:00:00.000Z",
            urgent_at="2026-11-22T00:00:00.000Z",
            ranges=tuple(f"{name[:16]} m 0 {per_document} 1" for name in names),
        )


class Bucket:
    """As much of the work bucket as collect reads and writes, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        return self.folder / key.replace("/", "__")

    def plan(self, job_id: str) -> Iterator[Shard]:
        return objects.Work.plan(self, job_id)  # type: ignore[arg-type]

    def get(self, key: str) -> bytes:
        return self.path(key).read_bytes()

    def get_json(self, key: str) -> Any:
        return orjson.loads(self.get(key))

    def put(self, key: str, data: bytes) -> None:
        self.path(key).write_bytes(data)

    def find(self, prefix: str) -> Iterator[StoredObject]:
        for path in sorted(self.folder.glob(f"{prefix.replace('/', '__')}*")):
            yield StoredObject(path.name.replace("__", "/"), path.stat().st_size, "etag")

    def blocks(self, key: str, *, etag: str, start: int, stop: int) -> Iterator[bytes]:
        del etag
        with self.path(key).open("rb") as file:
            file.seek(start)
            while start < stop and (block := file.read(objects.READ_BYTES)):
                start += len(block)
                yield block


class Nowhere:
    """Tables and queues that take everything and keep nothing."""

    def cancels(self) -> tuple[()]:
        return ()

    def lane(self, _name: str) -> None:
        return None

    def asking(self, *_: str) -> Pipeline:
        return PIPELINE

    def put(self, rows: Any) -> None:
        for row in rows:
            dynamo.to_item(row)

    book = put

    def account(self, *_: Any, **__: Any) -> dynamo.Written:
        return dynamo.Written(done=True, row=None)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: True


def speed(records: int) -> float:
    """Parse, join and validate records on one core; return how many a second."""
    expected = Expected(shards(records, 10))
    data = b"".join(line(record_id(n, 10)) for n in range(records))
    blocks = (data[at : at + objects.READ_BYTES] for at in range(0, len(data), objects.READ_BYTES))
    summaries, outcomes = Summaries(), Outcomes(expected)
    began = time.process_time()
    for one in collect.lines(blocks, start=0, stop=len(data)):
        answer = collect.read(one.data)
        position = expected.find(answer.record_id)
        assert position is not None
        record = expected.record(position)
        verdict = collect.judge(answer, PIPELINE, model=PIPELINE.model, attempt=record.attempt)
        usage = answer.usage
        summaries.add(Summary(position, verdict.outcome, "", usage))
    outcomes.merge(0, Summaries.load(summaries.dump()))
    taken = time.process_time() - began
    assert outcomes.outcome.count(Outcome.SUCCEEDED) == records
    return records / taken


def write_job(bucket: Bucket, records: int, per_document: int, files: int) -> None:
    """Write plan and output of a job."""
    with bucket.path(objects.plan_key("job")).open("wb") as file:
        file.write(b'{"shards":[')
        for number, one in enumerate(shards(records, per_document)):
            file.write(b"," * (number > 0) + one.model_dump_json().encode())
        file.write(b"]}")
    for number in range(files):
        with bucket.path(f"jobs/job/output/x/{number:04d}.jsonl.out").open("wb") as file:
            for n in range(number, records, files):
                file.write(line(record_id(n, per_document)))
    counts = {"inputTokenCount": 400 * records, "outputTokenCount": 90 * records}
    bucket.put("jobs/job/output/x/manifest.json.out", orjson.dumps(counts))


def collect_job(folder: Path, records: int) -> None:
    """Read every part of a job and close it, as one function after the other would; print what it took."""
    bucket: Any = Bucket(folder)
    nowhere: Any = Nowhere()
    row = output.pinned(
        one for one in bucket.find(objects.output_prefix("job")) if one.key.endswith(".jsonl.out")
    )
    row |= {
        "job_id": "job",
        "status": "CLOSING",
        "ended": "Completed",
        "ended_message": "",
        "engine": "batch",
        "tier": "default",
        "model": PIPELINE.model,
        "base_model": "m",
        "lane": "m#Converse",
        "records": records,
        "created_at": "2026-11-22T00:00:00+00:00",
        "closed_at": "2026-11-22T00:00:00+00:00",
        "reserve_day": "2026-11-22",
        "pipelines": {},
        "close_cursor": 0,
        "retry_cursor": 0,
    }
    reader = OutputReader(nowhere, bucket, nowhere, nowhere, lambda: NOW, 90)
    began = time.process_time()
    for number in range(row["parts"]):
        reader.read(row, number, Expected(bucket.plan("job")), lambda: None)
    read = time.process_time() - began
    closer = Closer(
        jobs=nowhere,
        documents=nowhere,
        results=nowhere,
        costs=nowhere,
        control=nowhere,
        work=bucket,
        pipelines=nowhere,
        output=reader,
        retries=nowhere,
        affording=Affording(nowhere, nowhere, nowhere, bucket, nowhere, nowhere),
        documents_queue=nowhere,
        clock=lambda: NOW,
    )
    close.dynamo.transact = lambda *_: None
    lease = JobLease(nowhere, "job", "bench", lambda: NOW, NOW.timestamp())
    began = time.process_time()
    closed = closer.close(row, Expected(bucket.plan("job")), lease, NOW + timedelta(hours=1))
    assert closed is not None
    assert closed.difference == {}
    assert closed.row["counts"]["succeeded"] == records
    peak = memory.peak_bytes() / 2**20
    figures = {"read_s": read, "close_s": time.process_time() - began, "peak_mb": peak, "parts": row["parts"]}
    print(json.dumps(figures))


def measure(records: int, per_document: int, files: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_job(Bucket(Path(folder)), records, per_document, files)
        command = [sys.executable, __file__, "--collect", folder, "--records", str(records)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
    print(
        f"{records:>9,} records in documents of {per_document:>4}, {files} files, {found['parts']} parts: "
        f"peak {found['peak_mb']:.0f} MB; rows {found['read_s']:.0f} s, close {found['close_s']:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--collect", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.collect:
        collect_job(arguments.collect, arguments.records)
        return
    print(f"parse, join, validate: {speed(min(arguments.records, 50_000)):,.0f} records a second on one core")
    for records, per_document, files in (
        (arguments.records, 10, 1),
        (arguments.records, 1, 1),
        (10 * arguments.records, 10, 10),
        (10 * arguments.records, 1, 10),
    ):
        measure(records, per_document, files)


if __name__ == "__main__":
    main()
