"""The real template on LocalStack, beside a local cloud that may be in use; nothing runs in process."""

import contextlib
from collections.abc import Iterator

import pytest

from local import cloud, deployment, settings
from local.settings import REPOSITORY, Settings
from tests.e2e.stack import Stack
from tests.ports import free_port


@pytest.fixture(scope="session")
def local_cloud() -> Iterator[Settings]:
    """LocalStack and the emulator on free ports; the LocalStack of AWS_ENDPOINT_URL where that is set."""
    given = settings.from_environment()
    if given.foreign_endpoint:
        own = given
    else:
        own = Settings(
            run=REPOSITORY / ".local" / "e2e", localstack_port=free_port(), bedrock_port=free_port()
        )
    with contextlib.ExitStack() as stopping:
        stopping.callback(cloud.down, own)
        cloud.up(own)
        deployment.deploy(own)
        yield own


@pytest.fixture(scope="session")
def stack(local_cloud: Settings) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_cloud.client_environment().items():
            patch.setenv(name, value)
        connected = Stack.connect()
        yield connected
        # Whatever the tests have done, cancelled or broken: all books must balance.
        assert connected.command("audit") == {"violations": []}
