"""The process around a parser: what it yields comes through, and what it does to itself stays inside."""

import io
import os
import signal
from pathlib import Path

import pytest
from batchline.errors import Code, Refused
from batchline.formats import child, isolated
from batchline.formats.child import Limits
from batchline.formats.content import Image, Section

PARSER = "tests.unit.formats.misbehaving"
ROOMY = Limits()
FIRST = Section("text", 1, ("見出し", "two"))


def items(what: str, limits: Limits = ROOMY) -> list[child.Item]:
    return list(isolated.run(PARSER, io.BytesIO(b"text"), what="file", limits=limits, mode=what))


def refusal(what: str, limits: Limits = ROOMY) -> Refused:
    with pytest.raises(Refused) as caught:
        items(what, limits)
    return caught.value


def children() -> list[int]:
    """The pids below this process, as the kernel tells."""
    found = []
    for task in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((task / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if isolated._SERVER._process is not None and parent == isolated._SERVER._process.pid:
            found.append(int(task.name))
    return found


def test_what_a_parser_yields_comes_through() -> None:
    assert items("echo") == [FIRST]
    assert items("all") == [
        FIRST,
        Image("png", b"\x00\xff", 2),
        {"a": "?", "b": 1},
        Section("lone ?", None, ("?",)),
    ]


def test_sections_of_one_place_come_together() -> None:
    same = [Section("a"), Section("b"), Section("c", 2), Section("d", 2, ("h",)), Section("e", 2, ("h",))]
    assert list(child._merged(iter(same))) == [
        Section("ab"),
        Section("c", 2),
        Section("de", 2, ("h",)),
    ]


def test_what_a_parser_refuses_is_refused() -> None:
    refused = refusal("refuse")
    assert (refused.code, refused.message) == (Code.TEXT_MISSING, "今日は nothing.")


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("crash", Code.FILE_DAMAGED, "signal 11"),
        ("bug", Code.FILE_DAMAGED, "exit 1"),
        ("abort", Code.FILE_TOO_COMPLEX, "800 MB of memory"),
        ("deep", Code.FILE_TOO_COMPLEX, "nested too deeply"),
        ("eat", Code.FILE_TOO_COMPLEX, "800 MB of memory"),
    ],
)
def test_what_ends_the_child_is_the_documents_fault(what: str, code: Code, words: str) -> None:
    refused = refusal(what)
    assert refused.code is code
    assert words in refused.message
    assert items("echo") == [FIRST]  # the next document does not notice
    assert children() == []


def test_a_child_that_says_nothing_is_killed() -> None:
    refused = refusal("hang", Limits(silence_seconds=0.2))
    assert refused.code is Code.FILE_TOO_COMPLEX
    assert "no progress for 0.2 seconds" in refused.message
    assert children() == []


def test_a_child_that_spins_is_killed_by_its_processor_time() -> None:
    refused = refusal("spin", Limits(cpu_seconds=1))
    assert refused.code is Code.FILE_TOO_COMPLEX
    assert "1 seconds of processor time" in refused.message


def test_a_reader_that_stops_early_leaves_no_child() -> None:
    found = isolated.run(PARSER, io.BytesIO(b"text"), what="file", mode="many")
    assert next(found) == FIRST
    assert len(children()) == 1
    found.close()
    assert children() == []


def test_two_documents_are_read_at_the_same_time() -> None:
    one = isolated.run(PARSER, io.BytesIO(b"one"), what="file", mode="many")
    two = isolated.run(PARSER, io.BytesIO(b"two"), what="file")
    assert next(one).text == "one"
    assert [item.text for item in two] == ["two"]
    assert next(one).text == "y" * 10_000
    one.close()


def test_a_killed_server_is_started_again() -> None:
    items("echo")
    process = isolated._SERVER._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert items("echo") == [FIRST]


def test_a_child_has_no_aws_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    isolated._SERVER.stop()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert items("environment")[1:] == [Section("", 2)]


def test_a_bug_is_logged_without_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    isolated._SERVER.stop()  # a new one writes to what this test captures
    refusal("bug")
    logged = capfd.readouterr().err
    assert "KeyError" in logged
    assert "misbehaving.py" in logged
    assert "secret" not in logged


def test_a_file_larger_than_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "MAX_FILE_BYTES", 3)
    refused = refusal("echo")
    assert refused.code is Code.UPLOAD_TOO_LARGE
    assert "3 bytes" in refused.message
