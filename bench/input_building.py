"""Measures how fast submit builds a batch job's input from shards, and in how much memory.

Run it alone: `python bench/input_building.py`. S3 is a small server of this script in another process
that makes up the shards and throws the input away, so the figure is the client's own: what it signs,
reads, checks, joins and sends. The client is pinned to one core and its processor time is counted. Over
plain HTTP it also hashes (SHA-256) all that it sends, as it does not over HTTPS.
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import boto3
import memory
from batchline import submit
from batchline.aws import inputs
from batchline.aws.clients import RETRIES
from batchline.aws.objects import Work
from batchline.cancel import Cancels
from batchline.models import Shard

MB, GB = 10**6, 10**9
MAX_FILE_BYTES = GB
JOBS = (
    ("many tiny shards", 100_000),  # bound by the 1.1 ms of processor time that boto3 takes for a request
    ("many small shards", 250_000),
    ("few large shards", 16_000_000),
)
SIZES = (GB // 10, GB, 4 * GB)
DOCUMENT = "a" * 16


@cache
def content(size: int) -> tuple[bytes, str]:
    """Make up a shard of exactly so many bytes, and its checksum as S3 tells it."""
    line = (
        json.dumps({"recordId": f"{DOCUMENT}m00000001", "modelInput": {"text": "x" * 900}}).encode() + b"\n"
    )
    data = (line * (size // len(line) + 1))[:size]
    return data, base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()


class MadeUpS3(BaseHTTPRequestHandler):
    """As much of S3 as building an input needs: `GET /work/shards/<n>-<bytes>.jsonl`, and uploads."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        size = int(self.path.rsplit("-", 1)[1].split(".")[0])
        data, checksum = content(size)
        headers = {"ETag": '"x"', "Content-Type": "binary/octet-stream"}
        if asked := self.headers.get("Range"):
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            self._answer(memoryview(data)[first : last + 1], headers, status=206)
            return
        self._answer(data, headers | {"x-amz-checksum-crc32": checksum})

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self._answer(b"", {"ETag": '"x"'})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        name = "InitiateMultipartUploadResult" if "uploads" in query else "CompleteMultipartUploadResult"
        body = f"<{name}><Bucket>work</Bucket><Key>k</Key><UploadId>1</UploadId></{name}>".encode()
        self._answer(body, {"Content-Type": "application/xml"})

    def _answer(self, body: bytes | memoryview, headers: dict[str, str], *, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def serve() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MadeUpS3)
    print(server.server_port, flush=True)
    server.serve_forever()


def shards(total: int, size: int) -> list[Shard]:
    """Describe shards of so many bytes in all, of one document."""
    return [
        Shard(
            shard_id=f"{number}",
            lane="m#Converse",
            key=f"shards/{number}-{size}.jsonl",
            pipeline="p",
            version="v",
            model="m",
            too_few="wait",
            records=size // 1_000,
            bytes=size,
            input_tokens=1,
            output_tokens=1,
            created_at="2026-11-22T09:00:00.000Z",
            first_at="2026-11-22T09:00:00.000Z",
            urgent_at="2026-11-22T09:00:00.000Z",
            ranges=(f"{DOCUMENT} m {number * 1000} {size // 1_000} 1",),
        )
        for number in range(total // size)
    ]


def build(endpoint: str, total: int, size: int) -> None:
    """Build one job's input in this process and print its figures."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=RETRIES,
    )
    chosen = submit.select(shards(total, size), Cancels())
    begun, spent = time.perf_counter(), time.process_time()
    work, prefix = Work(client, "work"), "jobs/j/input/0001/"
    *_, written = inputs.write(work, prefix, chosen, max_file_bytes=MAX_FILE_BYTES, keep=passed_on)
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    assert written.bytes == sum(one.bytes for one in chosen.shards)
    peak = memory.peak_bytes()
    print(json.dumps({"files": written.files, "seconds": seconds, "cpu": spent, "peak": peak}))


def passed_on(blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield from blocks


def main() -> None:
    print(f"{'job':>10}  {'shards':<34}  {'MB/s of CPU':>11}  {'MB/s elapsed':>12}  {'peak MB':>7}")
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
    try:
        for name, size in JOBS:
            for total in SIZES:
                command = [sys.executable, __file__, "--build", endpoint, str(total), str(size)]
                found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                what = f"{name}, {total // size} of {size / MB:g} MB"
                print(
                    f"{total / GB:>7g} GB  {what:<34}  {total / found['cpu'] / MB:>11.0f}  "
                    f"{total / found['seconds'] / MB:>12.0f}  {found['peak'] / MB:>7.0f}"
                )
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--build", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    elif options.build:
        build(options.build[0], int(options.build[1]), int(options.build[2]))
    else:
        main()
