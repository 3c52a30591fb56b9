"""Errors of the local cloud."""


class LocalCloudError(Exception):
    """The local cloud can't do what was asked; the message is one sentence that says what to do."""
