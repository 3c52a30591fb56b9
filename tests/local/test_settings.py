import pytest

from local import settings
from local.errors import LocalCloudError
from local.settings import Settings


def test_an_empty_environment_gives_the_usual_ports() -> None:
    found = settings.from_environment({})
    assert (found.localstack_url, found.bedrock_url) == ("http://127.0.0.1:4566", "http://127.0.0.1:4567")
    assert found.foreign_endpoint is None


def test_ports_can_be_chosen() -> None:
    found = settings.from_environment({"BATCHLINE_LOCALSTACK_PORT": "5000", "BATCHLINE_BEDROCK_PORT": "5001"})
    assert (found.localstack_url, found.bedrock_url) == ("http://127.0.0.1:5000", "http://127.0.0.1:5001")


@pytest.mark.parametrize("port", ["0", "65536", "-1", "http", "4 5"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(LocalCloudError, match="BATCHLINE_BEDROCK_PORT"):
        settings.from_environment({"BATCHLINE_BEDROCK_PORT": port})


def test_somebody_elses_localstack_is_used() -> None:
    found = settings.from_environment({"AWS_ENDPOINT_URL": "http://build-box:4566/"})
    assert found.foreign_endpoint == found.localstack_url == "http://build-box:4566"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_the_local_cloud_exported_itself_is_not_foreign(host: str) -> None:
    environ = {"AWS_ENDPOINT_URL": f"http://{host}:5000", "BATCHLINE_LOCALSTACK_PORT": "5000"}
    assert settings.from_environment(environ).foreign_endpoint is None


def test_clients_are_led_to_both_servers() -> None:
    assert Settings(localstack_port=1, bedrock_port=2).client_environment() == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_BEDROCK": "http://127.0.0.1:2",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:2",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }
