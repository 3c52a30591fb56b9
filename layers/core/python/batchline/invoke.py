"""Invoke: the answers of single calls, written as Bedrock's batch writes them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Manifest:
    """The counts that Bedrock puts beside a job's output."""

    totalRecordCount: int = 0  # noqa: N815 - Bedrock's names
    processedRecordCount: int = 0  # noqa: N815
    successRecordCount: int = 0  # noqa: N815
    errorRecordCount: int = 0  # noqa: N815
    inputTokenCount: int = 0  # noqa: N815
    outputTokenCount: int = 0  # noqa: N815

    def dump(self) -> bytes:
        return orjson.dumps(asdict(self))


def answered(record_id: str, model_input: Mapping[str, Any], output: Mapping[str, Any]) -> bytes:
    """Write the output line of a record that was answered."""
    line = {"recordId": record_id, "modelInput": model_input, "modelOutput": output}
    return orjson.dumps(line) + b"\n"


def failed(record_id: str, model_input: Mapping[str, Any], code: int, message: str) -> bytes:
    """Write the output line of a record that was not answered."""
    error = {"errorCode": code, "errorMessage": message}
    line = {"recordId": record_id, "modelInput": model_input, "error": error}
    return orjson.dumps(line) + b"\n"


def record_ids(lines: Iterable[bytes]) -> set[str]:
    """Name the records that lines of output or of a checkpoint answer."""
    return {orjson.loads(line)["recordId"] for line in lines if line}


def manifest(lines: Iterable[bytes]) -> Manifest:
    """Count the lines of an output as Bedrock does."""
    total = good = read = written = 0
    for line in lines:
        if not line:
            continue
        total += 1
        usage = orjson.loads(line).get("modelOutput", {}).get("usage")
        if usage:
            good += 1
            read += usage["inputTokens"]
            written += usage["outputTokens"]
    return Manifest(total, total, good, total - good, read, written)
