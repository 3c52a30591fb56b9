"""Input records: how a line becomes one, and whether a job's files pass validation."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from local.bedrock.limits import Limits
from local.bedrock.storage import InputFile


class Rejected(Exception):
    """The input breaks a rule; the message becomes the job's."""


@dataclass(frozen=True)
class Record:
    """One line of input."""

    record_id: str
    model_input: Mapping[str, Any]


def parse(line: bytes, *, job_id: str, file: str, number: int) -> Record:
    """Read a line, or raise Rejected; a missing recordId is made up, the same one every time."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Rejected(f"Record {number} of {file} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise Rejected(f"Record {number} of {file} is not a JSON object")
    model_input = content.get("modelInput")
    if not isinstance(model_input, dict):
        raise Rejected(f"Record {number} of {file} has no modelInput object")
    record_id = content.get("recordId")
    if record_id is None:
        record_id = _made_up(job_id, file, number)
    elif not isinstance(record_id, str) or not record_id:
        raise Rejected(f"Record {number} of {file} has a recordId that is not a string")
    return Record(record_id, model_input)


def _made_up(job_id: str, file: str, number: int) -> str:
    digest = hashlib.blake2b(f"{job_id}/{file}/{number}".encode(), digest_size=8)
    return digest.hexdigest()[:11].upper()


def survey(
    files: list[InputFile],
    lines: Callable[[InputFile], Iterable[bytes]],
    limits: Limits,
    *,
    job_id: str,
    large: bool,
) -> int:
    """Check a job's whole input against the quotas and return its number of records.

    Raises Rejected with the message that the job fails with. `large` is for models whose jobs may
    be larger than the common quota.
    """
    if not files:
        raise Rejected("No .jsonl file was found at the input S3 location.")
    _check_sizes(files, limits, limits.max_large_job_bytes if large else limits.max_job_bytes)
    total = 0
    seen: set[int] = set()
    for file in files:
        in_file = 0
        for in_file, line in enumerate(lines(file), start=1):
            if in_file > limits.max_records_per_file:
                raise Rejected(
                    f"Input file {file.name} contains more records than the maximum of: "
                    f"{limits.max_records_per_file}"
                )
            record = parse(line, job_id=job_id, file=file.name, number=in_file)
            # Eight bytes per id instead of the id: the quota on records bounds the set.
            seen.add(hash(record.record_id))
            if len(seen) != total + in_file:
                raise Rejected(f"Record {in_file} of {file.name} repeats a recordId")
        total += in_file
        if total > limits.max_records_per_job:
            raise Rejected(
                f"Batch job contains more records than the maximum of: {limits.max_records_per_job}"
            )
    if total < limits.min_records:
        raise Rejected(
            f"Batch job contains less records ({total}) than the required minimum of: {limits.min_records}"
        )
    return total


def _check_sizes(files: list[InputFile], limits: Limits, most: int) -> None:
    for file in files:
        if file.size > limits.max_file_bytes:
            raise Rejected(
                f"Input file {file.name} is larger ({file.size} bytes) than the maximum of: "
                f"{limits.max_file_bytes} bytes"
            )
    total = sum(file.size for file in files)
    if total > most:
        raise Rejected(f"Batch job input is larger ({total} bytes) than the maximum of: {most} bytes")
