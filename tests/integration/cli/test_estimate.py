"""`batchline estimate`: with a stack, without one, and against what was answered before."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from batchline import catalog
from batchline.aws import clients
from batchline.models import Usage

from tests.integration.cli.conftest import ROWS, Cli, run
from tests.integration.fake_bedrock import Say
from tests.integration.world import INBOX

NOVA = "us.amazon.nova-lite-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks AWS without a world in the test fails."""
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return str(path)


def pipeline_file(folder: Path, **keys: object) -> str:
    said = {
        "model": NOVA,
        "prompt": "Say {{ text }}",
        "chunk": {"by": "row"},
        "inference": {"max_tokens": 40},
    }
    return write(folder / "notes.yaml", json.dumps(said | keys))


def test_files_are_estimated_without_aws(tmp_path: Path) -> None:
    table = write(tmp_path / "in/rows.csv", ROWS)
    said = run("estimate", table, "--pipeline", pipeline_file(tmp_path), "--json")
    assert said.code == 0
    found = said.json
    assert (found["pipeline"], found["records"], found["output_tokens"]) == ("notes", 120, 1200)
    assert [(one["engine"], one["records"]) for one in found["stages"][0]["jobs"]] == [("batch", 120)]
    assert found["planned"]["usd"] == found["ways"][0]["usd"]
    assert Decimal(found["ways"][2]["usd"]) == 2 * Decimal(found["planned"]["usd"])


def test_people_see_jobs_tail_and_refusals(tmp_path: Path) -> None:
    write(tmp_path / "in/rows.csv", "a\n1\n2\n")
    write(tmp_path / "in/letter.txt", "Dear all,")
    said = run("estimate", str(tmp_path / "in"), "-p", pipeline_file(tmp_path, too_few="wait"))
    assert said.code == 1
    assert "2 records HELD (TOO_FEW) until there are 100: too_few is wait" in said.out
    assert "a guess: 25% of max_tokens" in said.out
    assert f"FORMAT_UNSUPPORTED  {tmp_path}/in/letter.txt" in said.out.replace("\n", "")


def test_models_are_compared(tmp_path: Path) -> None:
    table = write(tmp_path / "in/rows.csv", ROWS)
    file = pipeline_file(tmp_path, inference={"max_tokens": 9000}, model=HAIKU)
    said = run("estimate", table, "-p", file, "--compare", f"{NOVA},us.amazon.nova-pro-v1:0,{NOVA}", "--json")
    assert said.code == 0
    assert [one["model"] for one in said.json["models"]] == [HAIKU, NOVA, "us.amazon.nova-pro-v1:0"]
    asked = ("estimate", table, "-p", file, "--compare", "us.amazon.nova-pro-v1:0")
    laid = run(*asked, width=160).out.splitlines()
    assert [line.split()[-1] for line in laid[:2]] == ["priority", "USD"]
    last = {line.split()[0]: line.split()[-2:] for line in laid if line.startswith("us.")}
    on_demand, priority = map(Decimal, last["us.amazon.nova-pro-v1:0"])
    assert abs(priority - on_demand * Decimal("1.75")) <= Decimal("0.000002")  # both are rounded
    assert last[HAIKU][-1] == "–"
    said = run("estimate", table, "-p", file, "--compare", "amazon.titan-embed-text-v2:0")
    assert said.code == 1
    assert "amazon.titan-embed-text-v2:0 cannot do this: amazon.titan-embed" in said.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing.txt", "-p", "notes.yaml"], "There are no files at nothing.txt."),
        (["a.txt", "-p", "nowhere.yaml"], "There is no pipeline file nowhere.yaml."),
    ],
)
def test_what_is_not_there_is_said(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    said = run("estimate", *arguments)
    assert (said.code, sentence in said.err) == (2, True)


def test_an_unknown_pipeline_is_said(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    said = cli.run("estimate", write(tmp_path / "a.txt", "x"), "-p", "note")
    assert said.code == 2
    assert "there is no pipeline 'note'; did you mean notes?" in said.err


def test_objects_are_read_where_they_are_and_earlier_answers_count(cli: Cli) -> None:
    cli.world.bedrock.answer = lambda _name, _body: Say("yes", usage=Usage(50, 7))
    cli.pipeline("notes", chunk={"by": "row"})
    cli.upload("inbox/notes/rows.csv", ROWS)
    cli.upload("inbox/notes/deep/more.csv", ROWS)
    cli.upload("inbox/notes2/other.csv", ROWS)
    cli.settle()
    paid = sum(cli.world.bedrock.paid.values())
    for place, documents in (("inbox/notes/rows.csv", 1), ("inbox/notes", 2), ("inbox/notes/", 2)):
        found = cli.run("estimate", f"s3://{INBOX}/{place}", "-p", "notes", "--json").json
        assert (found["documents"], found["records"]) == (documents, 120 * documents)
        assert found["stages"][0]["answer_tokens"]["expected"] == "7"
        assert found["output_tokens"] == 120 * documents * 7
    assert "240 records of 2 earlier documents" in found["stages"][0]["answer_tokens"]["basis"]
    assert sum(cli.world.bedrock.paid.values()) == paid


def test_the_records_are_those_that_the_stack_makes(cli: Cli, tmp_path: Path) -> None:
    text = "One sentence stands here. And another one follows it.\n\n" * 200
    cli.pipeline("notes", chunk={"max_tokens": 100})
    cli.upload("inbox/notes/a.txt", text)
    cli.settle()
    found = cli.run("estimate", write(tmp_path / "a.txt", text), "-p", "notes", "--json").json
    assert found["records"] == cli.world.document("inbox/notes/a.txt")["records"] > 1


def test_bedrock_counts_when_it_is_asked(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "bedrock_runtime", lambda: cli.world.bedrock)
    table = write(tmp_path / "rows.csv", ROWS)
    file = pipeline_file(tmp_path, model=HAIKU)
    cli.world.bedrock.token_counts = {catalog.base_id(HAIKU): 11}
    found = cli.run("estimate", table, "-p", file, "--exact", "all", "--json").json
    assert (found["counted_records"], found["input_tokens"]) == (120, 120 * 11)
    found = cli.run("estimate", table, "-p", file, "--exact", "sample", "--json").json
    assert (found["counted_records"] < 90, found["input_tokens"]) == (True, 120 * 11)
    assert not cli.world.bedrock.paid


def test_a_model_that_bedrock_does_not_count_for_is_said(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "bedrock_runtime", lambda: cli.world.bedrock)
    table = write(tmp_path / "rows.csv", ROWS)
    said = cli.run("estimate", table, "-p", pipeline_file(tmp_path), "--exact", "all")
    assert said.code == 2
    assert f"Bedrock does not count tokens for {NOVA}: " in said.err
    assert "Leave --exact out." in said.err


def test_a_price_that_nobody_knows_is_not_0(tmp_path: Path) -> None:
    table = write(tmp_path / "rows.csv", ROWS)
    said = run("estimate", table, "-p", pipeline_file(tmp_path, model="example.new-v1:0"))
    assert "No price is known" in said.out
    (line,) = [one for one in said.lines if one.startswith("on demand")]
    assert line.split()[2:] == ["unknown"] * 3
    said = run("estimate", table, "-p", pipeline_file(tmp_path, model="us.anthropic.claude-sonnet-4-6"))
    (line,) = [one for one in said.lines if one.startswith("as planned")]
    assert line.split()[2].startswith("~0.")
