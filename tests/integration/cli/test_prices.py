"""`batchline prices`: what is listed, what a refresh keeps and where, and what a check finds."""

import gzip
import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from batchline.aws import account, clients, price_list
from batchline.aws.objects import Work
from batchline.aws.price_list import OffersError
from batchline.cli import prices as command
from batchline.cli.prices import Package
from batchline.models import Engine
from batchline.money import prices
from batchline.money.prices import Entry, Kind, PriceList, PricesError, price

from tests.integration.cli.conftest import Cli
from tests.integration.world import WORK

NOVA = "amazon.nova-lite-v1:0"
LITELLM = "litellm/model_prices_and_context_window_backup.json"


@pytest.fixture(autouse=True)
def nothing_adopted() -> Iterator[None]:
    yield
    prices.adopt(PriceList())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, dict[str, Any]]:
    """What litellm's next release says: as much as a test puts here."""
    models: dict[str, dict[str, Any]] = {}

    def fetch(name: str, folder: Path) -> Package:
        assert name == "litellm"
        file = folder / LITELLM
        file.parent.mkdir()
        file.write_text(
            json.dumps({key: {"litellm_provider": "bedrock"} | one for key, one in models.items()})
        )
        return Package(folder, "9.9")

    monkeypatch.setattr(command, "fetch", fetch)
    return models


def test_prices_are_listed_with_their_sources(cli: Cli) -> None:
    found = cli.run("--json", "prices", "--model", NOVA).json["prices"]
    (listed,) = [one for one in found if (one["group"], one["kind"]) == ("base", "batch")]
    assert (listed["input"], listed["output"]) == ("0.03", "0.12")
    assert {one["kind"] for one in found} == {"on_demand", "batch"}
    every = cli.run("--json", "prices", "--model", NOVA, "--all").json["prices"]
    assert "cache_read" in {one["kind"] for one in every}
    shown = cli.run("prices", "--model", NOVA, width=120)
    assert any(line.split()[:5] == [NOVA, "base", "batch", "0.03", "0.12"] for line in shown.lines)
    assert cli.run("prices", "--model", "nothing-like-it").code == 2


def test_without_a_stack_the_data_file_is_shown_and_that_is_said(cli: Cli) -> None:
    told = cli.run("--stack", "other", "prices", "--model", NOVA)
    assert (told.code, "a stack's own could not be read" in told.err) == (0, True)


def test_a_refresh_is_kept_in_the_stack_and_adopted_by_the_functions(
    cli: Cli, said: dict[str, dict[str, Any]]
) -> None:
    said[NOVA] = {"input_cost_per_token": 7e-08, "output_cost_per_token": 2.4e-07}
    told = cli.run("prices", "refresh", "--from", "litellm", "--to", "stack", width=120)
    assert "Read 1 prices, 1 of them new or changed." in told.err
    kept = price_list.load(Work(clients.s3(), WORK))
    assert [(one.since, str(one.input)) for one in kept.entries] == [(date(2026, 11, 22), "0.07")]
    account.adopt(WORK)
    assert str(price(NOVA, Engine.ON_DEMAND).input) == "0.07"
    # Read again, nothing is new.
    again = cli.run("--json", "prices", "refresh", "--from", "litellm", "--to", "stack")
    assert again.json == {"read": 1, "changed": []}


def test_a_refresh_of_the_data_file_keeps_older_prices(
    cli: Cli, said: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "a/b/c/d/e/data/prices.json"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(command, "PACKAGED", file)
    assert cli.run("prices", "refresh", "--to", "file").code == 2  # no checkout
    (file.parents[5] / "template.yaml").touch()
    cli.world.clock.advance(86_400)
    said[NOVA] = {"input_cost_per_token": 7e-08, "output_cost_per_token": 2.4e-07}
    assert cli.run("prices", "refresh", "--from", "litellm").code == 0
    written = PriceList.load(file.read_bytes(), "it")
    rows = written.by_key[NOVA, "base", Kind.ON_DEMAND, False]
    assert [str(one.input) for one in rows] == ["0.06", "0.07"]
    assert (rows[1].since, rows[1].source) == (date(2026, 11, 23), "litellm 9.9")
    assert len(written.entries) == len(prices.packaged().entries) + 1


def test_a_check_says_what_differs_and_what_is_old(cli: Cli, said: dict[str, dict[str, Any]]) -> None:
    said[NOVA] = {"input_cost_per_token": 7e-08, "output_cost_per_token": 2.4e-07}
    told = cli.run("prices", "check", "--from", "litellm", "--days", "999", width=140)
    (line,) = [one.split() for one in told.lines if one.startswith(NOVA)]
    assert told.code == 1
    assert line == [
        NOVA,
        "base",
        "on_demand",
        "differs",
        *("0.06,", "0.24"),
        *("0.07,", "0.24"),
        "litellm",
        "9.9",
    ]
    said[NOVA]["input_cost_per_token"] = 6e-08
    agreed = cli.run("prices", "check", "--from", "litellm", "--days", "999")
    assert (agreed.code, "nobody differs" in agreed.err) == (0, True)
    cli.world.clock.advance(1_000 * 86_400)
    aged = cli.run("--json", "prices", "check", "--offline", "--days", "999")
    assert aged.code == 1
    assert {one["what"] for one in aged.json["findings"]} == {"old"}


def test_a_spoilt_file_of_the_stack_is_said_to_be(cli: Cli) -> None:
    Work(clients.s3(), WORK).put("prices.json", b'{"entries": [{"model": "m"}]}')
    told = cli.run("prices")
    assert (told.code, "prices.json in the work bucket cannot be used: entries.0" in told.err) == (2, True)
    with pytest.raises(PricesError):
        account.adopt(WORK)


# what AWS publishes


@pytest.fixture
def published() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server on this machine that has the files a test puts there."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    thread.join()
    server.server_close()


def test_offer_files_are_read_by_code_and_region(published: tuple[str, dict[str, bytes]]) -> None:
    root, files = published
    for number, code in enumerate(price_list.CODES):
        files[f"/{code}/current/eu-west-1/index.json"] = gzip.compress(json.dumps({"n": number}).encode())
    assert list(price_list.offers("eu-west-1", root)) == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    "body",
    [None, b"not gzip", gzip.compress(b"not JSON"), gzip.compress(b"{}")[:-9]],
    ids=["missing", "not gzip", "not JSON", "cut off"],
)
def test_an_offer_file_that_cannot_be_read_is_named(
    published: tuple[str, dict[str, bytes]], body: bytes | None
) -> None:
    root, files = published
    if body is not None:
        files["/AmazonBedrock/current/eu-west-1/index.json"] = body
    with pytest.raises(OffersError, match=r"/AmazonBedrock/current/eu-west-1/index\.json cannot be read"):
        list(price_list.offers("eu-west-1", root))


def test_a_model_is_taken_from_the_first_source_that_knows_it() -> None:
    def entry(model: str, source: str) -> Entry:
        today = date(2026, 11, 22)
        return Entry(model=model, group="base", kind=Kind.BATCH, since=today, read=today, source=source)

    first, second = [entry("a", "x")], [entry("a", "y"), entry("b", "y")]
    assert command._together([first, second]) == [first[0], second[1]]
