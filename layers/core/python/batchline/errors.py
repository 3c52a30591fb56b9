"""What can go wrong with a document or a record, by name.

BatchlineError
├── Refused       the upload cannot be processed as it is; its row says why; sending it again as it is
│                 does not help
│   └── Held      the upload can be processed once something else has changed; it waits by itself
├── LostRace      another invocation was faster; read the row again and act on what it says
└── NotConserved  records do not add up; nothing is written until somebody has looked

Everything else (an AWS error, a bug) is raised as it comes: the message fails, is delivered again and
ends in a dead-letter queue.
"""

from enum import StrEnum


class Code(StrEnum):
    """The stable codes of rows in the tables. Each is explained in docs/errors.md."""

    # uploads
    KEY_INVALID = "KEY_INVALID"
    UPLOAD_GONE = "UPLOAD_GONE"
    UPLOAD_EMPTY = "UPLOAD_EMPTY"
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"
    FORMAT_UNSUPPORTED = "FORMAT_UNSUPPORTED"
    FILE_DAMAGED = "FILE_DAMAGED"
    FILE_ENCRYPTED = "FILE_ENCRYPTED"
    FILE_TOO_COMPLEX = "FILE_TOO_COMPLEX"
    TEXT_TRUNCATED = "TEXT_TRUNCATED"
    TEXT_ENCODING = "TEXT_ENCODING"
    TEXT_MISSING = "TEXT_MISSING"
    ROWS_INVALID = "ROWS_INVALID"
    PROMPT_FAILED = "PROMPT_FAILED"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    MODEL_CANNOT_SEE = "MODEL_CANNOT_SEE"
    TOO_MANY_RECORDS = "TOO_MANY_RECORDS"
    # pipelines
    PIPELINE_INVALID = "PIPELINE_INVALID"
    PIPELINE_UNKNOWN = "PIPELINE_UNKNOWN"
    # waiting
    TOO_FEW = "TOO_FEW"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    LANE_PAUSED = "LANE_PAUSED"
    REVIEW_NEEDED = "REVIEW_NEEDED"
    # answers
    MODEL_ERROR = "MODEL_ERROR"
    ANSWER_MISSING = "ANSWER_MISSING"
    ANSWER_EMPTY = "ANSWER_EMPTY"
    ANSWER_INVALID = "ANSWER_INVALID"
    ANSWER_TRUNCATED = "ANSWER_TRUNCATED"
    ANSWER_BLOCKED = "ANSWER_BLOCKED"
    ANSWER_UNREADABLE = "ANSWER_UNREADABLE"
    ANSWER_UNSURE = "ANSWER_UNSURE"
    JOB_FAILED = "JOB_FAILED"
    JOB_REFUSED = "JOB_REFUSED"
    # documents
    RECORDS_FAILED = "RECORDS_FAILED"
    CANCELLED = "CANCELLED"
    STUCK = "STUCK"
    REVIEW_REJECTED = "REVIEW_REJECTED"


class BatchlineError(Exception):
    """Root of the errors that Batchline itself raises."""


class Refused(BatchlineError):
    """An upload that cannot become records. Do not retry: its row tells its owner what to do."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Held(Refused):
    """An upload that rests until something else arrives. Do not retry: its arrival releases it."""


class LostRace(BatchlineError):
    """A conditional write found that another invocation was there first."""


class NotConserved(BatchlineError):
    """Records are lost or twice. Its message comes back until it is a dead letter, which has an alarm."""
