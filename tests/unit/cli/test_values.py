"""What the commands decide without a stack."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from batchline.chunk import Upload
from batchline.cli import checkout, demo, grouping, hoisted, rates, results, tracking, upload
from batchline.cli.session import Problem, Session
from batchline.cli.tracking import File, Sent
from batchline.cli.views.documents import Document, Totals
from batchline.cli.views.entries import Entry
from batchline.cli.views.results import numbers
from batchline.models import Charge, DocumentStatus, Usage


def row(document_id: str = "d" * 16, **changes: Any) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "pipeline": "notes",
        "pipeline_version": "v1",
        "source": {
            "bucket": "inbox",
            "key": "inbox/notes/旅費/a.txt",
            "version_id": "s3-1",
            "size": 42,
            "sequencer": "1",
        },
        "received_at": "2026-11-22T09:00:00.000Z",
        "status": "COMPLETED",
        "records": 3,
        "succeeded": 2,
        "failed": 1,
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.25"),
        "saved_usd": 0,
        "estimate_usd": 1,
    } | changes


def entry(**changes: Any) -> Entry:
    return Entry.of(
        {
            "scope": "day#2026-11-22",
            "job_id": "j1",
            "pipeline": "notes",
            "model": "m",
            "engine": "batch",
            "tier": "default",
            "input_tokens": 100,
            "output_tokens": 10,
            "cost_usd": Decimal("0.1"),
            "saved_usd": Decimal("0.1"),
            "price": {"input": Decimal("0.03"), "output": Decimal("0.12"), "basis": "list"},
            "booked_at": "2026-11-22T09:00:00.000Z",
        }
        | changes
    )


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["status", "--json"], ["--json", "status"]),
        (["status", "--stack", "x", "--days", "3"], ["--stack", "x", "status", "--days", "3"]),
        (["--local", "costs", "--region=eu-west-1"], ["--local", "--region=eu-west-1", "costs"]),
        (["status", "--", "--json"], ["status", "--", "--json"]),
        (["local", "up", "--json"], ["local", "up", "--json"]),
        (["--json", "local", "--local"], ["--json", "local", "--local"]),
        (["status", "local", "--local"], ["--local", "status", "local"]),
        (["status", "--stack"], ["--stack", "status"]),
    ],
)
def test_global_options_may_stand_after_the_command(args: list[str], expected: list[str]) -> None:
    assert hoisted(args) == expected


@pytest.mark.parametrize("name", ["inbox/notes/旅費/a.txt", "旅費/a.txt", "a.txt"])
def test_a_document_is_called_by_its_key_its_path_or_its_file_name(name: str) -> None:
    assert Document.of(row()).answers_to(name)


def test_a_document_outside_of_a_pipelines_folder_is_called_by_its_whole_key() -> None:
    strange = row(pipeline="-", source=row()["source"] | {"key": "inbox/a.txt"})
    assert Document.of(strange).name == "inbox/a.txt"


def test_totals_add_up_what_is_listed() -> None:
    one = Document.of(row())
    other = Document.of(
        row(
            records=1,
            succeeded=0,
            cached=3,
            cache_saved_usd=Decimal("0.5"),
            failed=0,
            cost_usd=Decimal("0.00000001"),
            saved_usd=2,
            overhead_usd=Decimal("0.000009"),
        )
    )
    assert Totals.of([one, other]).json() == {
        "documents": 2,
        "records": 4,
        "succeeded": 2,
        "failed": 1,
        "open": 1,
        "input_tokens": 20,
        "output_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "long_input_tokens": 0,
        "long_output_tokens": 0,
        "long_cache_read_tokens": 0,
        "long_cache_write_tokens": 0,
        "cost_usd": Decimal("0.25000001"),
        "saved_usd": Decimal(2),
        "overhead_usd": Decimal("0.000009"),
        "total_usd": Decimal("0.25000901"),
        "cached": 3,
        "cache_saved_usd": Decimal("0.5"),
    }


def test_json_holds_money_as_strings_without_an_exponent(capsys: pytest.CaptureFixture[str]) -> None:
    run = Session(stack_name="x", as_json=True)
    run.write_json({"a": Decimal("1E-7"), "b": Decimal("2.50"), "c": Decimal("0E+2"), "d": "雪"})
    said = capsys.readouterr().out
    assert json.loads(said) == {"a": "0.0000001", "b": "2.5", "c": "0", "d": "雪"}
    assert "雪" in said


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="object is not JSON"):
        Session(stack_name="x", as_json=True).write_json({"a": object()})


def test_numbers_of_an_answer_stay_numbers() -> None:
    answer = {"a": [Decimal("6.1"), Decimal("24.0")], "b": {"c": 3, "d": None}}
    assert json.dumps(numbers(answer)) == '{"a": [6.1, 24], "b": {"c": 3, "d": null}}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("  a text\n", "a text"),
        ({"b": Decimal("6.1"), "a": ["日本", None]}, "b: 6.1\na:\n- 日本\n- null"),
        (Decimal(3), "3"),
        (["x"], "- x"),
    ],
)
def test_answers_are_readable(answer: object, said: str) -> None:
    assert results.readable(answer) == said


def test_costs_are_added_up_by_rate_and_nobodys_are_kept_apart() -> None:
    nobody = entry(pipeline=None, cost_usd=Decimal("0.001"))
    lines = rates.lines([entry(), nobody, entry(job_id="j2", cost_usd=Decimal("0.2")), entry(tier="flex")])
    assert [(one.rate.pipeline, one.rate.engine, one.jobs, one.charge.cost_usd) for one in lines] == [
        ("notes", "batch", 2, Decimal("0.3")),
        ("notes", "batch flex", 1, Decimal("0.1")),
        (None, "batch", 1, Decimal("0.001")),
    ]
    assert grouping.total([entry(), nobody]) == (
        Usage(200, 20),
        Charge(Decimal("0.101"), Decimal("0.2")),
    )


def test_the_showcase_has_a_text_a_japanese_text_and_json_of_few_records_and_much_to_say() -> None:
    def document(key: str, records: int, said: int, **more: Any) -> Document:
        pipeline = more.get("pipeline", "notes")
        source = row()["source"] | {"key": f"inbox/{pipeline}/{key}"}
        return Document.of(row(source=source, records=records, output_tokens=said, **more))

    listed = [
        document("novel.txt", 200, 9000),
        document("curt.txt", 1, 10),
        document("broken.txt", 1, 99, status="FAILED"),
        document("wordy.txt", 1, 20),
        document("議事録.md", 3, 50),
        document("空.txt", 1, 1, pipeline="facts"),
        document("契約.txt", 4, 5, pipeline="facts"),
    ]
    chosen = demo.showcase(listed, {"facts"})
    assert [(title, one.name) for title, one in chosen] == [
        ("A text", "wordy.txt"),
        ("A text in Japanese", "議事録.md"),
        ("Facts as JSON", "契約.txt"),
    ]
    assert demo.showcase(listed[2:3], set()) == []


def test_a_folder_keeps_its_paths_and_hidden_files_stay_behind(tmp_path: Path) -> None:
    for name in ("docs/b/two.txt", "docs/one.txt", "docs/.hidden", "docs/.git/x", "single.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    planned = upload.plan([tmp_path / "docs", tmp_path / "single.txt"], "notes")
    assert [one.key for one in planned] == [
        "inbox/notes/b/two.txt",
        "inbox/notes/one.txt",
        "inbox/notes/single.txt",
    ]


def test_a_name_has_one_spelling_whatever_the_file_system_writes(tmp_path: Path) -> None:
    apart = tmp_path / "ハ\u3099ス.txt"  # as macOS may write バス.txt
    apart.write_text("x")
    (planned,) = upload.plan([apart], "notes")
    assert planned.key == "inbox/notes/バス.txt"


def test_two_files_of_one_key_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.txt").write_text(folder)
    with pytest.raises(Problem, match=r"both be inbox/notes/same\.txt"):
        list(upload.plan([tmp_path / "a", tmp_path / "b"], "notes"))


def test_what_names_no_pipeline_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(Problem, match="names no pipeline"):
        list(upload.plan([tmp_path / "a.txt"], "no/tes"))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no files"):
        list(upload.plan([tmp_path], "notes"))


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with (tmp_path / "huge.txt").open("wb") as sparse:
        sparse.truncate(10 * 2**30 + 1)
    with pytest.raises(Problem, match="Split it into smaller files"):
        list(upload.plan([tmp_path], "notes"))


def test_a_key_of_more_than_1024_bytes_is_refused(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["深" * 80] * 5)
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("x")
    with pytest.raises(Problem, match="1024 bytes"):
        list(upload.plan([tmp_path], "notes"))


def test_without_the_repository_the_local_cloud_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkout, "PACKAGE", "nowhere_to_be_found")
    with pytest.raises(Problem, match="checkout"):
        checkout.module("cli")


def test_a_module_that_the_local_cloud_misses_is_not_hidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "lacking_cloud"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("import nowhere_to_be_found")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(checkout, "PACKAGE", "lacking_cloud")
    with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
        checkout.module("cli")


SENT = Sent(
    file=File(Path("a.txt"), "inbox/notes/a.txt", "notes"),
    upload=Upload("inbox", "inbox/notes/a.txt", "s3-2", 42, ""),
    content="etag 42",
)
FIRST, NOW, UNREAD = SENT.named("-"), SENT.named("v1"), SENT.unread
WAITING = {"status": "HELD", "pipeline_version": "-", "error": {"code": "PIPELINE_UNKNOWN", "message": "."}}


@pytest.mark.parametrize(
    ("found", "version", "expected", "known"),
    [
        ([], "v1", None, False),
        ([row(NOW)], "v1", NOW, True),
        # the same content, done under an older version
        ([row(SENT.named("v0"))], "v1", None, False),
        ([row(UNREAD, source=row()["source"] | {"version_id": "s3-2"})], "v1", UNREAD, False),
        # it came before its pipeline: still waiting, done under this version, or under another one
        ([row(FIRST, **WAITING)], None, FIRST, True),
        ([row(FIRST)], "v1", FIRST, True),
        ([row(FIRST, pipeline_version="v0")], "v1", None, False),
        ([row(FIRST, pipeline_version="v0"), row(NOW)], "v1", NOW, True),
        (
            [row(FIRST, pipeline_version="v0", source=row()["source"] | {"version_id": "s3-2"})],
            "v1",
            FIRST,
            False,
        ),
    ],
)
def test_an_upload_knows_its_document(
    found: list[dict[str, Any]], version: str | None, expected: str | None, *, known: bool
) -> None:
    rows = {one["document_id"]: one for one in found}
    tracked = tracking._tracked(SENT, rows, version)
    assert (tracked.document.document_id if tracked.document else None) == expected
    assert tracked.document_id == (expected or SENT.named(version or "-"))
    assert tracked.known is known


def test_progress_counts_what_is_on_the_way_too() -> None:
    moving = replace(Document.of(row()), status=DocumentStatus.QUEUED)
    found = [
        tracking.Tracked(SENT, FIRST, None),
        tracking.Tracked(SENT, FIRST, moving),
        tracking.Tracked(SENT, NOW, Document.of(row())),
    ]
    assert tracking.counts(found).plain == "3 documents: 1 on the way 1 QUEUED 1 COMPLETED"
    assert tracking.unfinished(found) == "1 on the way, 1 QUEUED"
    assert "6/6 records" in tracking.progress(found, 75).plain
    assert tracking.progress(found, 75).plain.startswith("1:15")
