"""The errors that the emulator answers with, as AWS names them.

ApiError is the only exception that becomes an answer: code and HTTP status are those of the Bedrock
service models, and the message is what the client shows to its user.
"""

from dataclasses import dataclass

STATUS_BY_CODE = {
    "AccessDeniedException": 403,
    "ConflictException": 400,
    "InternalServerException": 500,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelTimeoutException": 408,
    "RequestEntityTooLargeException": 413,
    "ResourceNotFoundException": 404,
    "SerializationException": 400,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "TooManyTagsException": 400,
    "UnknownOperationException": 404,
    "ValidationException": 400,
}


@dataclass(frozen=True)
class ApiError(Exception):
    """An error that a client receives; `retryable` is what a batch output line says about it."""

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def status(self) -> int:
        return STATUS_BY_CODE[self.code]

    @property
    def retryable(self) -> bool:
        return self.status in {408, 424, 429, 500, 503}


def invalid(message: str) -> ApiError:
    """ValidationException, HTTP 400."""
    return ApiError("ValidationException", message)


def not_found(message: str) -> ApiError:
    """ResourceNotFoundException, HTTP 404."""
    return ApiError("ResourceNotFoundException", message)
