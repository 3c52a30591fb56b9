"""Runs one job's records: input lines in, answered lines out, in bounded memory.

The caller decides how many records are processed at a time, so that it can look at the clock, at a
stop and at the deadline in between.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any, Final

import orjson

from local.bedrock import inference, records
from local.bedrock.bill import BATCH, Bill
from local.bedrock.catalog import Model
from local.bedrock.errors import ApiError
from local.bedrock.faults import Faults, error_member
from local.bedrock.generation import Writer
from local.bedrock.inference import Outcome
from local.bedrock.jobs import Counters, Job
from local.bedrock.storage import InputFile, Location, Storage, Upload

# Output is shuffled within a window: both limits keep it small whatever the records are.
_WINDOW_RECORDS: Final = 1000
_WINDOW_BYTES: Final = 4 << 20


class BatchRun:
    """The processing of one job, advanced in steps. Not thread-safe: one step at a time."""

    def __init__(
        self,
        job: Job,
        files: list[InputFile],
        *,
        total: int,
        model: Model,
        writer: Writer,
        storage: Storage,
        faults: Faults,
        pool: Executor | None,
        bill: Bill,
    ) -> None:
        self._job = job
        self._bill = bill
        self._model = model
        self._writer = writer
        self._storage = storage
        self._faults = faults
        self._pool = pool
        self._total = total
        self._succeeded = 0
        self._failed = 0
        self._input_tokens = 0
        self._output_tokens = 0
        self._output = Location.parse(job.output["s3Uri"]).below(job.job_id)
        self._kms_key = job.output.get("s3EncryptionKeyId")
        self._pending = iter(files)
        self._lines: Iterator[records.Record] = iter(())
        self._upload: Upload | None = None
        self._window: list[bytes] = []
        self._window_bytes = 0
        # The order of output must differ from the input's, and be the same on every run.
        self._shuffle = random.Random(f"{faults.seed}/{job.name}")  # noqa: S311

    @property
    def counters(self) -> Counters:
        return Counters(self._total, self._succeeded, self._failed)

    def step(self, most: int) -> bool:
        """Process up to `most` records; return whether any is left. Raises StorageError."""
        while most > 0:
            batch = list(itertools.islice(self._lines, min(most, _WINDOW_RECORDS)))
            if not batch and not self._next_file():
                return False
            most -= len(batch)
            for record, line, outcome in self._answered(batch):
                self._count(outcome)
                for _ in range(self._faults.copies(record.record_id)):
                    self._emit(line)
        return True

    def finish(self) -> None:
        """Close the output of what was processed and write the manifest."""
        self._close_file()
        manifest = {
            **self.counters.members(),
            "inputTokenCount": self._input_tokens,
            "outputTokenCount": self._output_tokens,
        }
        where = self._output.below("manifest.json.out")
        self._storage.put(where, orjson.dumps(manifest), kms_key=self._kms_key)

    def abandon(self) -> None:
        """Drop an unfinished output file."""
        if self._upload is not None:
            self._upload.abort()
            self._upload = None

    def _next_file(self) -> bool:
        self._close_file()
        file = next(self._pending, None)
        if file is None:
            return False
        self._lines = self._records(file)
        self._upload = self._storage.upload(self._output.below(f"{file.name}.out"), kms_key=self._kms_key)
        return True

    def _records(self, file: InputFile) -> Iterator[records.Record]:
        for number, line in enumerate(self._storage.lines(file.location), start=1):
            yield records.parse(line, job_id=self._job.job_id, file=file.name, number=number)

    def _close_file(self) -> None:
        self._flush_window()
        if self._upload is not None:
            self._upload.close()
            self._upload = None

    def _answered(
        self, batch: list[records.Record]
    ) -> Iterator[tuple[records.Record, bytes, Outcome | None]]:
        mapped: Callable[..., Iterator[tuple[bytes, Outcome | None]]] = self._pool.map if self._pool else map
        for record, (line, outcome) in zip(batch, mapped(self._line, batch), strict=True):
            yield record, line, outcome

    def _line(self, record: records.Record) -> tuple[bytes, Outcome | None]:
        line: dict[str, Any] = {"recordId": record.record_id, "modelInput": record.model_input}
        outcome = None
        error = self._faults.record_error(record.record_id)
        if error is None:
            try:
                outcome = self._outcome(record)
                line["modelOutput"] = outcome.output
            except ApiError as refusal:
                error = error_member(refusal.status, refusal.message)
        if error is not None:
            line["error"] = error
        return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE), outcome

    def _outcome(self, record: records.Record) -> Outcome:
        distortion = self._faults.distortion(record.record_id)
        body = dict(record.model_input)
        if self._job.invocation_type == "Converse":
            return inference.converse_record(self._model, body, self._writer, distortion)
        return inference.invoke_record(self._model, body, self._writer, distortion)

    def _count(self, outcome: Outcome | None) -> None:
        if outcome is None:
            self._failed += 1
        else:
            self._succeeded += 1
            self._input_tokens += outcome.input_tokens
            self._output_tokens += outcome.output_tokens
            self._bill.add(self._model.model_id, BATCH, outcome.input_tokens, outcome.output_tokens)

    def _emit(self, line: bytes) -> None:
        self._window.append(line)
        self._window_bytes += len(line)
        if len(self._window) >= _WINDOW_RECORDS or self._window_bytes >= _WINDOW_BYTES:
            self._flush_window()

    def _flush_window(self) -> None:
        if self._upload is None:
            return
        self._shuffle.shuffle(self._window)
        for line in self._window:
            self._upload.write(line)
        self._window, self._window_bytes = [], 0
