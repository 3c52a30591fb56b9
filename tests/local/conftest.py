from collections.abc import Iterator

import pytest

from local import cloud, settings
from local.settings import Settings
from tests.local.aws import Aws
from tests.ports import free_port


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "localstack: needs LocalStack, which it starts by itself")


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """LocalStack with our plugins, beside one that may be in use; or that of AWS_ENDPOINT_URL."""
    given = settings.from_environment()
    if given.foreign_endpoint:
        yield given
        return
    own = Settings(
        run=tmp_path_factory.mktemp("cloud"),
        localstack_port=free_port(),
        bedrock_port=free_port(),
    )
    cloud.up(own, bedrock=False)
    yield own
    cloud.down(own)


@pytest.fixture(scope="session")
def aws(local_cloud: Settings) -> Aws:
    return Aws(local_cloud)
