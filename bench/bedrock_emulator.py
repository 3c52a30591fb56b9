"""Measures the emulator's batch path: records per second and peak memory of one job.

Run it alone: `python bench/bedrock_emulator.py --records 100000 --bytes 2000`. S3 is a small server
of this script in another process, so that the figure is the emulator's own: what it reads, answers
and writes. The job is pinned to one core.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import boto3
import memory

SENTENCES = (
    "The warehouse in Osaka received order number {n} on 12 March 2025.",
    "It was packed by the night shift and weighed {n} kilograms.",
    "The customer asked for a written confirmation within five days.",
    "Acme Trading Ltd shall pay USD {n}.50 after delivery.",
    "No damage was reported by the carrier at the gate.",
    "The insurer must be told of every delay above two hours.",
)


def record(number: int, size: int) -> bytes:
    text = ""
    while len(text) < size - 250:
        text += SENTENCES[(number + len(text)) % len(SENTENCES)].format(n=number) + " "
    prompt = f"Summarize the following text in two sentences:\n\n{text}"
    body = {
        "recordId": f"R{number:010d}",
        "modelInput": {
            "messages": [{"role": "user", "content": [{"text": prompt}]}],
            "inferenceConfig": {"maxTokens": 200},
        },
    }
    return json.dumps(body).encode() + b"\n"


class DiskS3(BaseHTTPRequestHandler):
    """As much of S3 as one job needs, on files: head, list, get, put and multipart upload."""

    protocol_version = "HTTP/1.1"
    root: Path

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def path_and_query(self) -> tuple[Path, str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        key = parts.path.lstrip("/")
        return self.root / key.replace("/", "__"), key, parse_qs(parts.query, keep_blank_values=True)

    def do_HEAD(self) -> None:
        file, key, _ = self.path_and_query()
        size = file.stat().st_size if "/" in key and file.exists() else 0
        self.answer(headers={"Content-Length": str(size)})

    def do_GET(self) -> None:
        file, _, _ = self.path_and_query()
        self.send_response(200)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                self.wfile.write(chunk)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PUT(self) -> None:
        file, _, _ = self.path_and_query()
        with file.open("ab") as content:
            content.write(self.body())
        self.answer(headers={"ETag": '"x"'})

    def do_POST(self) -> None:
        _, key, query = self.path_and_query()
        self.body()
        name = "InitiateMultipartUploadResult" if "uploads" in query else "CompleteMultipartUploadResult"
        self.answer(
            f"<{name}><Bucket>b</Bucket><Key>{key}</Key><UploadId>1</UploadId></{name}>".encode(),
            {"Content-Type": "application/xml"},
        )


def serve_s3(root: Path) -> None:
    DiskS3.root = root
    server = ThreadingHTTPServer(("127.0.0.1", 0), DiskS3)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process: on a busy machine the elapsed time says little."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"{url} does not answer")


def measure(records: int, size: int, root: Path) -> dict[str, float]:
    with (root / "input__a.jsonl").open("wb") as file:
        for number in range(records):
            file.write(record(number, size))
    (root / "input").touch()
    (root / "output").touch()
    s3 = subprocess.Popen([sys.executable, __file__, "--serve", str(root)], stdout=subprocess.PIPE, text=True)
    assert s3.stdout is not None
    endpoint = f"http://127.0.0.1:{s3.stdout.readline().strip()}"
    port = "4599"
    emulator = subprocess.Popen(
        [sys.executable, "-m", "local.bedrock", "--port", port, "--step-seconds", "0.05",
         "--log-level", "error"],
        env={**os.environ, "AWS_ENDPOINT_URL": endpoint, "BEDROCK_EMULATOR_EVENTS": "false"},
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    try:
        os.sched_setaffinity(emulator.pid, {0})
        wait_for(f"http://127.0.0.1:{port}/_emulator/health")
        started_with = memory.peak_bytes(emulator.pid)
        bedrock = boto3.client(
            "bedrock",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        begun, burnt = time.monotonic(), cpu_seconds(emulator.pid)
        arn = bedrock.create_model_invocation_job(
            jobName="bench",
            roleArn="arn:aws:iam::000000000000:role/Bench",
            modelId="us.amazon.nova-lite-v1:0",
            modelInvocationType="Converse",
            inputDataConfig={"s3InputDataConfig": {"s3Uri": "s3://input/a.jsonl"}},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://output/"}},
        )["jobArn"]
        while (job := bedrock.get_model_invocation_job(jobIdentifier=arn))["status"] not in {
            "Completed",
            "Failed",
        }:
            time.sleep(0.1)
        elapsed = time.monotonic() - begun
        if job["status"] != "Completed":
            raise SystemExit(f"the job ended {job['status']}: {job['message']}")
        return {
            "records": records,
            "input_megabytes": round((root / "input__a.jsonl").stat().st_size / 1e6, 1),
            "seconds": round(elapsed, 2),
            "cpu_seconds": round(cpu_seconds(emulator.pid) - burnt, 2),
            "records_per_second": round(records / elapsed),
            "peak_megabytes": round(memory.peak_bytes(emulator.pid) / 1e6, 1),
            "megabytes_above_idle": round((memory.peak_bytes(emulator.pid) - started_with) / 1e6, 1),
        }
    finally:
        emulator.terminate()
        emulator.wait(20)
        s3.terminate()
        s3.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=2000)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_s3(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options.records, options.bytes, Path(folder))))


if __name__ == "__main__":
    main()
