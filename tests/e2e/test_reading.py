"""Every format in both languages, read by the deployed chunk function with its layers' native libraries."""

import base64
from typing import Any

import pytest

from tests.e2e import papers
from tests.e2e.stack import Stack

PIPELINE = """
model: us.amazon.nova-lite-v1:0
prompt: "Summarise in one sentence: {{ text }}"
max_wait: 1s
"""
PICTURE = "inbox/reading/poster.png"
MEMBERS = ("one/first.txt", "second.md")


def key(name: str) -> str:
    return f"inbox/reading/{name}"


@pytest.fixture(scope="module")
def documents(stack: Stack) -> dict[str, dict[str, Any]]:
    stack.publish("reading", PIPELINE)
    for name, body in (papers.PAPERS | papers.ARCHIVES).items():
        stack.drop(key(name), body)
    stack.drop(PICTURE, papers.poster())
    members = [f"{key(name)}/{member}" for name in papers.ARCHIVES for member in MEMBERS]
    return stack.ended(*map(key, papers.PAPERS), *members, *map(key, papers.ARCHIVES), PICTURE)


@pytest.fixture(scope="module")
def asked(stack: Stack, documents: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return stack.asked()


def content(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [block for one in requests for block in one["messages"][0]["content"]]


@pytest.mark.parametrize("name", papers.PAPERS)
def test_the_model_reads_what_the_document_says(
    documents: dict[str, dict[str, Any]], asked: dict[str, list[dict[str, Any]]], name: str
) -> None:
    row = documents[key(name)]
    assert (row["status"], row.get("error")) == ("COMPLETED", None)
    text = "\n".join(block["text"] for block in content(asked[row["document_id"]]))
    first, second = papers.SENTENCES[name[:2]]
    assert first in text
    assert second in text
    assert row["result"]


@pytest.mark.parametrize("name", papers.ARCHIVES)
def test_an_archive_becomes_documents(
    documents: dict[str, dict[str, Any]], asked: dict[str, list[dict[str, Any]]], name: str
) -> None:
    row = documents[key(name)]
    assert (row["status"], row["documents"], row["records"]) == ("COMPLETED", 2, 0)
    for member, sentence in zip(MEMBERS, papers.SENTENCES[name[:2]], strict=True):
        [request] = asked[documents[f"{key(name)}/{member}"]["document_id"]]
        assert sentence in request["messages"][0]["content"][0]["text"]


def test_a_picture_is_shown_to_the_model(
    documents: dict[str, dict[str, Any]], asked: dict[str, list[dict[str, Any]]]
) -> None:
    row = documents[PICTURE]
    assert (row["status"], row["records"], row["succeeded"]) == ("COMPLETED", 1, 1)
    picture, _ = content(asked[row["document_id"]])
    assert picture["image"]["format"] == "png"
    assert base64.b64decode(picture["image"]["source"]["bytes"]).startswith(b"\x89PNG\r\n\x1a\n")
