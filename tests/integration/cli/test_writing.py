"""`upload`, `pipeline`, `pipelines` and `demo`: what people send, and the wait for what it becomes."""

import json
from pathlib import Path

import pytest
from batchline.aws import clients
from batchline.aws.stack import Stack
from batchline.cli import checkout

from tests import template
from tests.integration.cli.conftest import Cli
from tests.integration.fake_bedrock import Say
from tests.integration.world import INBOX

PIPELINE = """\
model: us.amazon.nova-lite-v1:0
prompt: Say {{ text }}
max_wait: 5s
"""
FACTS = """\
model: us.amazon.nova-lite-v1:0
prompt: Facts of {{ text }}
output: {schema: {type: object, required: [who]}}
combine: list
max_wait: 5s
"""
WRONG = "model: us.amazon.nova-lite-v1:0\npromt: Say {{ text }}\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def keys() -> list[str]:
    return [item["Key"] for item in clients.s3().list_objects_v2(Bucket=INBOX).get("Contents", ())]


# upload


def test_upload_shows_keys_and_the_names_that_documents_will_have(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    write(tmp_path / "in/資料/議事録.txt", "A note.")
    said = cli.run("upload", str(tmp_path / "in"), "--pipeline", "notes")
    assert said.code == 0
    name, key, size, *status = said.lines[1].split()
    assert (key, size, status) == ("inbox/notes/資料/議事録.txt", "7", ["on", "the", "way"])
    cli.settle()
    assert cli.world.document("inbox/notes/資料/議事録.txt")["document_id"] == name


def test_upload_and_watch_until_all_have_ended(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    write(tmp_path / "in/a.txt", "A note.")
    write(tmp_path / "in/b.txt", "Another note.")
    said = cli.run("--json", "upload", str(tmp_path / "in"), "-p", "notes", "--watch")
    assert said.code == 0
    assert [(one["key"], one["known"], one["document"]["status"]) for one in said.json["uploads"]] == [
        ("inbox/notes/a.txt", False, "COMPLETED"),
        ("inbox/notes/b.txt", False, "COMPLETED"),
    ]


def test_upload_fails_when_one_document_does(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    write(tmp_path / "in/a.txt", "A note.")
    write(tmp_path / "in/empty.txt", "")
    said = cli.run("upload", str(tmp_path / "in"), "-p", "notes", "--watch")
    assert said.code == 1
    assert "UPLOAD_EMPTY  empty.txt" in said.out
    assert "1 COMPLETED · 1 FAILED" in said.out


def test_upload_stops_waiting_when_its_time_is_up(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    file = write(tmp_path / "a.txt", "A note.")
    said = cli.run("upload", str(file), "-p", "notes", "--watch", "--timeout", "0")
    assert said.code == 1
    assert "Not all have ended after 0 s: 1 on the way." in said.err


def test_upload_for_a_pipeline_that_is_not_there_warns_and_goes_on(cli: Cli, tmp_path: Path) -> None:
    cli.pipeline("notes")
    file = write(tmp_path / "a.txt", "A note.")
    said = cli.run("upload", str(file), "-p", "nots", "--watch", "--json")
    assert "There is no pipeline 'nots' yet; did you mean notes? Its documents are HELD" in said.err
    assert said.code == 1
    assert [one["document"]["status"] for one in said.json["uploads"]] == ["HELD"]
    assert cli.run("status", "--json").json["documents"][0]["pipeline"] == "nots"


def test_nothing_is_uploaded_when_one_file_cannot_be(cli: Cli, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / "same.txt", folder)
    said = cli.run("upload", str(tmp_path / "a"), str(tmp_path / "b"), "-p", "notes")
    assert (said.code, said.out, keys()) == (2, "", [])


# pipelines


def test_put_a_pipeline_and_list_it(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "notes.yaml", PIPELINE)
    first = cli.run("pipeline", "put", str(file), "--json")
    version = first.json["version"]
    assert first.json == {"pipeline": "notes", "version": version, "before": None}
    (listed,) = cli.run("pipelines", "--json").json["pipelines"]
    assert (listed["version"], listed["answer"], listed["refused"]) == (version, "text", None)
    again = cli.run("pipeline", "put", str(file))
    assert again.out == f"Pipeline notes: version {version} is in force, as it was before.\n"
    write(file, PIPELINE + "attempts: 1\n")
    changed = cli.run("pipeline", "put", str(file))
    assert changed.code == 0
    assert changed.out.rstrip().endswith(f"is in force, after {version}.")
    table = cli.run("pipelines", width=80)
    assert table.lines[2].split()[0] == "notes"


def test_put_under_another_name_without_waiting(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "draft 1.yaml", PIPELINE)
    assert "cannot name a pipeline" in cli.run("pipeline", "put", str(file)).err
    said = cli.run("pipeline", "put", str(file), "--name", "notes", "--no-wait")
    assert said.out.startswith("Pipeline notes is uploaded: version ")
    assert (keys(), cli.waits) == (["pipelines/notes.yaml"], 0)


def test_a_wrong_pipeline_file_is_not_uploaded(cli: Cli, tmp_path: Path) -> None:
    file = write(tmp_path / "notes.yaml", WRONG)
    for command in ("put", "check"):
        said = cli.run("pipeline", command, str(file))
        assert (said.code, said.out) == (1, "")
        assert "line 2: unknown key promt; did you mean prompt? Correct the file" in said.err
    assert keys() == []


def test_a_right_pipeline_file_is_checked_without_a_stack(tmp_path: Path, cli: Cli) -> None:
    file = write(tmp_path / "notes.yaml", PIPELINE)
    said = cli.run("--stack", "nowhere", "pipeline", "check", str(file), width=None)
    assert said.code == 0
    assert said.out.startswith(f"{file} is right: us.amazon.nova-lite-v1:0, version ")


def test_a_later_file_that_was_refused_is_shown(cli: Cli) -> None:
    cli.pipeline("notes")
    assert cli.run("pipelines", "--json").json["pipelines"][0]["refused"] is None
    cli.world.clock.advance(60)
    cli.upload("pipelines/notes.yaml", WRONG)
    cli.settle()
    assert "unknown key promt" in cli.run("pipelines", "--json").json["pipelines"][0]["refused"]["message"]
    assert (
        "notes: a file that came 0s ago was refused: prompt is missing; line 2: unknown key"
        in cli.run("pipelines", width=200).out
    )
    cli.world.clock.advance(60)
    cli.pipeline("notes", attempts=2)
    assert "refused" not in cli.run("pipelines").out


def test_no_pipelines_say_how_to_begin(cli: Cli) -> None:
    said = cli.run("pipelines")
    assert (said.code, said.out) == (0, "")
    assert "batchline pipeline put" in said.err


# demo


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    write(tmp_path / "pipelines/notes.yaml", PIPELINE)
    write(tmp_path / "pipelines/facts.yaml", FACTS)
    write(tmp_path / "inbox/notes/mail/short.txt", "Mr. Ito comes on Monday.")
    write(tmp_path / "inbox/notes/議事録 2026.md", "会議は月曜日。")
    write(tmp_path / "inbox/facts/契約.txt", "甲は佐藤。")
    write(tmp_path / "README.md", "Not a document.")
    return tmp_path


def answer(_name: str, body: dict[str, object]) -> Say:
    asked = json.dumps(body, ensure_ascii=False)
    return Say('{"who": "佐藤"}') if "Facts of" in asked else Say("In [short]: Monday.")


def test_the_demo_goes_from_the_upload_to_the_invoice(cli: Cli, samples: Path) -> None:
    cli.world.bedrock.answer = answer
    said = cli.run("demo", "--samples", str(samples), "--yes")
    assert said.code == 0, said.err
    assert "3 documents: 3 COMPLETED after" in said.err
    assert "3 documents" in said.out
    # 3 records at 0.0000108 USD each, of both pipelines in one on-demand job; what the pipeline itself
    # cost stands before what batch has saved
    total = said.lines[-1].split()
    assert total[:5] + total[6:] == ["total", "1", "300", "60", "0.0000324", "0"]
    assert float(total[5]) > 0
    for title, lines in {
        "A text: mail/short.txt": "  In [short]: Monday.",
        "A text in Japanese: 議事録 2026.md": "  In [short]: Monday.",
        "Facts as JSON: 契約.txt": "  who: 佐藤",
    }.items():
        assert said.lines[said.lines.index(title) + 1] == lines
    assert sorted(keys()) == [
        "inbox/facts/契約.txt",
        "inbox/notes/mail/short.txt",
        "inbox/notes/議事録 2026.md",
        "pipelines/facts.yaml",
        "pipelines/notes.yaml",
    ]


def test_beside_aws_the_demo_ends_with_an_audit(
    cli: Cli, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stack, "on_aws", False)
    cli.world.bedrock.answer = answer
    said = cli.run("demo", "--samples", str(samples))
    assert (said.code, said.lines[-1]) == (0, "Everything adds up.")
    (row,) = [one for one in cli.world.documents() if one["source"]["key"].endswith("short.txt")]
    clients.dynamodb().update_item(
        TableName="Documents",
        Key={"document_id": {"S": row["document_id"]}},
        UpdateExpression="SET #succeeded = :n",
        ExpressionAttributeNames={"#succeeded": "succeeded"},
        ExpressionAttributeValues={":n": {"N": "2"}},
    )
    said = cli.run("demo", "--samples", str(samples))
    assert said.code == 1
    assert f"document {row['document_id']}: 1 records, but 2 succeeded" in said.out


def test_a_second_demo_asks_and_pays_nothing(cli: Cli, samples: Path) -> None:
    cli.world.bedrock.answer = answer
    assert cli.run("demo", "--samples", str(samples), "--yes", "--json").json["known"] == 0
    paid = len(cli.world.bedrock.paid)
    waits = cli.waits
    again = cli.run("demo", "--samples", str(samples), "--yes")
    assert again.code == 0
    assert "All 3 documents are known already" in again.err
    assert "3 documents" in again.out
    assert cli.waits == waits
    cli.settle()
    assert len(cli.world.bedrock.paid) == paid
    assert len(cli.world.documents()) == 3


def test_the_demo_takes_the_place_of_another_version(cli: Cli, samples: Path) -> None:
    cli.world.bedrock.answer = answer
    cli.pipeline("notes")
    (before,) = cli.world.control("pipeline#notes")
    said = cli.run("demo", "--samples", str(samples), "--yes")
    assert said.code == 0
    assert f"is in force in the place of {before['version']}." in said.err


def test_the_demo_fails_with_its_documents(cli: Cli, samples: Path) -> None:
    write(samples / "inbox/notes/empty.txt", "")
    cli.world.bedrock.answer = answer
    said = cli.run("demo", "--samples", str(samples), "--yes")
    assert said.code == 1
    assert "UPLOAD_EMPTY  empty.txt" in said.out


def test_the_demo_says_what_is_late(cli: Cli, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_chunk(_seconds: float) -> None:
        cli.notify()
        while cli.world.deliver("UploadsQueue"):
            pass

    monkeypatch.setattr(cli, "pause", only_chunk)
    said = cli.run("demo", "--samples", str(samples), "--yes", "--timeout", "1.5")
    assert said.code == 1
    assert "Not all documents ended within 1.5 s: 3 QUEUED. They go on by themselves" in said.err


def test_on_aws_the_demo_asks_before_it_spends(cli: Cli, samples: Path) -> None:
    said = cli.run("demo", "--samples", str(samples))
    assert (said.code, keys()) == (1, [])
    assert "models cost money" in said.err


def test_a_folder_that_is_not_laid_out_as_samples(cli: Cli, tmp_path: Path) -> None:
    said = cli.run("demo", "--samples", str(tmp_path))
    assert said.code == 2
    assert "has no folder inbox/" in said.err


def test_the_samples_of_the_repository_are_found() -> None:
    found = checkout.samples()
    assert found == template.REPOSITORY / "samples"
    assert (found / "pipelines/summary.yaml").is_file()
