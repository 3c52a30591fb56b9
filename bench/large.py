"""Takes uploads of 1 to 10 GB and PDFs of thousands of pages through the chunk stage, as Lambda would run it.

`python bench/large.py [--kinds jsonl csv md ja pdf] [--gigabytes 10] [--pages 2400 5000] [--seconds 60]`

The stage is the real one, with its ranged reads, shards, rows and messages. A run of it has `--seconds` of
processor time, as Lambda's have 15 minutes; then the next one goes on. S3 is a small server of this script in
another process, which makes up the upload as it is read, and reads the shards that are written: every row
must come once, in its place. DynamoDB and SQS are moto's, in a third process. Processor time and peak memory
are those of the stage alone, and of the process that reads a PDF.
"""

import argparse
import contextlib
import html
import io
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Protocol

import chunking
import memory

GB = 10**9
NUMBER = b"0123456789"  # in each row; its own number takes this place
ROW_BYTES = 1_800
PARAGRAPHS = 2_000_000  # bytes of text of which uploads are made again and again
PDF_PAGES = 40


class Made(Protocol):
    """An upload that is made up as it is read."""

    size: int

    def read(self, start: int, stop: int) -> bytes: ...


@dataclass(frozen=True)
class Numbered:
    """Rows that are all different: some texts again and again, each with the number of its row."""

    header: bytes
    texts: tuple[bytes, ...]
    rows: int
    ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate(map(len, self.texts))))

    def start(self, row: int) -> int:
        turn, at = divmod(row, len(self.texts))
        return len(self.header) + turn * self.ends[-1] + (self.ends[at - 1] if at else 0)

    @property
    def size(self) -> int:
        return self.start(self.rows)

    def read(self, start: int, stop: int) -> bytes:
        turn, rest = divmod(max(0, start - len(self.header)), self.ends[-1])
        first = row = turn * len(self.texts) + bisect_right(self.ends, rest)
        parts = [self.header] if start < len(self.header) else []
        begin = 0 if parts else self.start(first)
        length = sum(map(len, parts))
        while row < self.rows and begin + length < stop:
            parts.append(self.texts[row % len(self.texts)].replace(NUMBER, b"%010d" % row, 1))
            length += len(parts[-1])
            row += 1
        return b"".join(parts)[start - begin : stop - begin]


@dataclass(frozen=True)
class Again:
    """A text again and again."""

    text: bytes
    size: int

    def read(self, start: int, stop: int) -> bytes:
        first = start % len(self.text)
        length = min(stop, self.size) - start
        return (self.text * ((first + length) // len(self.text) + 1))[first : first + length]


@dataclass(frozen=True)
class Stored:
    """A file."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


def made(kind: str, amount: int) -> Made:
    """Make up an upload of so many bytes, or a PDF of so many pages."""
    if kind in {"jsonl", "csv"}:
        texts = [*_rows(kind)]
        header = b"" if kind == "jsonl" else b"id,city,price,note\r\n"
        return Numbered(header, tuple(texts), amount * len(texts) // sum(map(len, texts)))
    if kind == "pdf":
        return Stored(_pdf(amount))
    name = chunking.HOME / f"again.{kind}"
    if kind == "md":
        chunking.write_markdown(name, "en", PARAGRAPHS)
    else:
        chunking.write_text(name, "ja", PARAGRAPHS)
    text = name.read_bytes() + b"\n\n"
    return Again(text, amount // len(text) * len(text))


def _rows(kind: str) -> Iterator[bytes]:
    note = ""
    for row in chunking.rows("en", PARAGRAPHS):
        note = f"{note} {row['note']}" if note else row["note"]
        if len(note) >= ROW_BYTES:
            columns = {"id": NUMBER.decode(), "city": row["city"], "price": row["price"], "note": note}
            note = ""
            if kind == "jsonl":
                yield json.dumps(columns, ensure_ascii=False).encode() + b"\n"
            else:
                out = io.StringIO(newline="")
                chunking.csv.writer(out).writerow(columns.values())
                yield out.getvalue().encode()


def _pdf(pages: int) -> Path:
    import pypdfium2
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    path = chunking.HOME / f"pages-{pages}.pdf"
    if not path.exists():
        few = chunking.HOME / "few.pdf"
        style = getSampleStyleSheet()["Normal"]
        story: list[Any] = []
        for text in chunking.paragraphs("en", PDF_PAGES * 5_000):
            story += [Paragraph(html.escape(text), style), Spacer(1, 6)]
        SimpleDocTemplate(str(few), invariant=True).build(story)
        source, target = pypdfium2.PdfDocument(few), pypdfium2.PdfDocument.new()
        for start in range(0, pages, len(source)):
            target.import_pages(source, list(range(min(len(source), pages - start))))
        target.save(path)
    return path


class S3(BaseHTTPRequestHandler):
    """As much of S3 as the stage needs: ranges of one upload, and shards, which are read and dropped."""

    protocol_version = "HTTP/1.1"
    upload: Made
    kept: ClassVar[dict[str, bytes]] = {}
    seen = bytearray(10**7)
    told: ClassVar = {"shards": 0, "bytes": 0, "records": 0, "doubled": 0, "wrong": 0}

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(b"", size=self.upload.size)

    def do_GET(self) -> None:
        if self.path == "/told":
            self._answer(json.dumps(self.told).encode())
        elif self.path in self.kept:
            self._answer(self.kept[self.path])
        else:
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self._answer(self.upload.read(first, last + 1), status=206)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if "/shards/" in self.path:
            self._check(data)
        else:
            self.kept[self.path] = data
        self._answer(b"")

    def _check(self, data: bytes) -> None:
        numbered = isinstance(self.upload, Numbered)
        self.told["shards"] += 1
        self.told["bytes"] += len(data)
        index_at = len('{"recordId":"') + len("aaaaaaaaaaaaaaaam")
        for line in data.splitlines():
            index = int(line[index_at : index_at + 7])
            self.told["records"] += 1
            self.told["doubled"] += self.seen[index]
            self.seen[index] = 1
            if numbered:
                at = line.find(b"\\nid: ") + 6
                self.told["wrong"] += int(line[at : at + len(NUMBER)]) != index

    def _answer(self, body: bytes, *, status: int = 200, size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.send_header("ETag", '"0123456789abcdef0123456789abcdef"')
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 09:00:00 GMT")
        self.end_headers()
        self.wfile.write(body)


def serve(kind: str, amount: int) -> None:
    S3.upload = made(kind, amount)
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    print(json.dumps([server.server_port, S3.upload.size, getattr(S3.upload, "rows", 0)]), flush=True)
    server.serve_forever()


@contextlib.contextmanager
def process(*command: object, log: int | None = None) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def wait(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise TimeoutError(port)


def chunked(kind: str, amount: int, seconds: float) -> None:
    """Take one upload through the stage in this process, and print what it took."""
    port = free_port()
    moto = (sys.executable, "-m", "moto.server", "-p", port)
    server = (sys.executable, __file__, "--serve", kind, amount)
    with process(*server) as s3, process(*moto, log=subprocess.DEVNULL):
        assert s3.stdout is not None
        s3_port, size, rows = json.loads(s3.stdout.readline())
        wait(port)
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3_port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with parser_watched() as peaks:
            runs, row = stage(kind, size, seconds)
        parser = max(peaks, default=0)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        with urllib.request.urlopen(f"http://127.0.0.1:{s3_port}/told") as reply:
            told = json.load(reply)
        assert (row["status"], row["sealed"], row.get("error")) == ("QUEUED", True, None), row
        assert told["records"] == row["records"] == sum(runs) > 0, (told, row["records"])
        assert told["records"] == (rows or told["records"]), (told, rows)
        assert (told["doubled"], told["wrong"]) == (0, 0), told
    taken = usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime
    line = f"{kind:6}{amount:>15,} {size / 1e6:>9,.0f} MB {told['records']:>10,} records"
    line += f" {told['shards']:>6,} shards {len(runs):>3} runs {taken:7.1f} s {size / 1e6 / taken:6.1f} MB/s"
    print(f"{line} {memory.peak_bytes() / 2**20:5.0f} MB, parser {parser:.0f} MB", flush=True)


@contextlib.contextmanager
def parser_watched() -> Iterator[list[float]]:
    """Collect the peak MB of the processes that parse. RUSAGE_CHILDREN has that of this one as it forked."""
    from batchline.formats import isolated

    peaks: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for pid in tuple(isolated._SERVER._running):  # noqa: SLF001
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    peaks.append(memory.peak_bytes(pid) / 2**20)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peaks
    finally:
        ended.set()
        watching.join()


def now() -> datetime:
    """Tell the time by this process's own processor time, whatever else the machine does."""
    return datetime(2026, 11, 22, 9, tzinfo=UTC) + timedelta(seconds=time.process_time())


def stage(kind: str, size: int, seconds: float) -> tuple[list[int], dict[str, Any]]:
    """Deliver the message of an upload and all that follow; tell the records of each run, and the row."""
    from batchline import settings
    from batchline.aws import chunk, clients, dynamo
    from batchline.formats import isolated
    from batchline.pipelines import Pipeline

    from tests import template

    chunk.START_TIME = timedelta(0)  # type: ignore[misc]  # runs are shorter than Lambda's
    for arguments in template.tables().values():
        clients.dynamodb().create_table(**arguments)
    queue = {
        name: clients.sqs().create_queue(QueueName=name)["QueueUrl"]
        for name in ("uploads", "documents", "wake")
    }
    env = settings.Chunk(
        inbox_bucket="inbox",
        work_bucket="work",
        documents_table="Documents",
        control_table="Control",
        uploads_queue=queue["uploads"],
        documents_queue=queue["documents"],
        wake_queue=queue["wake"],
    )
    chunker = chunk.Chunker.connect(env, now)
    pipeline = Pipeline.model_validate(
        {
            "model": chunking.NOVA,
            "prompt": "Summarize this part of {{ document.name }}:\n{{ text }}",
            "chunk": {"by": "row"} if kind in {"jsonl", "csv"} else {"max_tokens": chunking.MAX_TOKENS},
        }
    )
    chunker.pipelines.publish("p", pipeline, sequencer="01", at="2026-11-22T09:00:00.000Z")
    name = f"inbox/p/a.{'txt' if kind == 'ja' else kind}"
    item = {"key": name, "size": size, "sequencer": "01"}
    messages: list[dict[str, Any]] = [{"Records": [{"s3": {"bucket": {"name": "inbox"}, "object": item}}]}]
    runs: list[int] = []
    records = 0
    row: dict[str, Any] = {}
    while messages:
        for body in messages:
            chunker.take(body, until=now() + timedelta(seconds=seconds))
            chunker.flush()
        found = clients.dynamodb().scan(TableName="Documents", ConsistentRead=True)["Items"]
        row = dynamo.from_item(found[0])
        if row["records"] > records or row.get("sealed"):
            runs.append(int(row["records"]) - records)
        records = int(row["records"])
        taken = clients.sqs().receive_message(QueueUrl=queue["uploads"], MaxNumberOfMessages=10)
        messages = [json.loads(one["Body"]) for one in taken.get("Messages", ())]
        for one in taken.get("Messages", ()):
            clients.sqs().delete_message(QueueUrl=queue["uploads"], ReceiptHandle=one["ReceiptHandle"])
    isolated._SERVER.stop()  # noqa: SLF001 - what its children took is known when it has ended
    return runs, row


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]))
        return
    if sys.argv[1:2] == ["--one"]:
        chunked(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", nargs="+", default=["jsonl", "csv", "md", "ja", "pdf"])
    parser.add_argument("--gigabytes", type=float, default=10, help="of rows; of text a tenth")
    parser.add_argument("--pages", type=int, nargs="+", default=[2_400, 5_000])
    parser.add_argument("--seconds", type=float, default=60, help="of a run")
    options = parser.parse_args()
    chunking.HOME.mkdir(parents=True, exist_ok=True)
    for kind in options.kinds:
        whole = int(options.gigabytes * GB)
        amounts = options.pages if kind == "pdf" else [whole if kind in {"jsonl", "csv"} else whole // 10]
        for amount in amounts:
            command = [sys.executable, __file__, "--one", kind, str(amount), str(options.seconds)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
