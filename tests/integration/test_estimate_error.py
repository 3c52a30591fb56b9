"""How far an estimate is from what is charged: against the emulator, and against published tokenizers.

The emulator charges by ratios of characters, which were measured with the published tokenizers of Claude
(ctok) and of Llama 3; for Nova there is none, and both sides guess. It reads the very requests that would be
sent, so that nothing in them is forgotten. `token_counts.json` holds counts of the tokenizers themselves.
"""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from batchline import catalog, chunk, intake, pipelines, tokens
from batchline.intake import File
from batchline.money import estimate, expected
from batchline.money.estimate import Meter, Survey
from batchline.pipelines import Pipeline

from local.bedrock import catalog as emulated
from local.bedrock import converse, inference

MODELS = {
    "Claude": "us.anthropic.claude-haiku-4-5-20251001-v1:0",
    "Claude 2026": "us.anthropic.claude-sonnet-5",
    "Llama": "us.meta.llama3-1-8b-instruct-v1:0",
    "Nova": "us.amazon.nova-lite-v1:0",
}
SAMPLES = Path("samples/inbox")
ENGLISH = (
    "summary/engineering/post-mortem-2026-09-17.md",
    "summary/policies/hybrid-work-policy.txt",
    "summary/calls/2026-10-06-renewal-call.txt",
    "facts/contracts/services-agreement.txt",
)
JAPANESE = (
    "summary/policies/旅費規程.md",
    "summary/議事録 2026-10-14.md",
    "summary/notices/断水のお知らせ-sjis.txt",
    "facts/contracts/秘密保持契約書.txt",
)
REFERENCE = json.loads(Path("tests/unit/tokens/token_counts.json").read_text("utf-8"))


def pipeline(model: str, **keys: Any) -> Pipeline:
    said = {"model": model, "prompt": "Summarise:\n{{ text }}", "chunk": {"max_tokens": 500}} | keys
    return pipelines.parse(json.dumps(said).encode())


def file(path: Path) -> File:
    upload = chunk.Upload("", f"inbox/p/{path.name}", None, path.stat().st_size, sequencer="")
    return File(path.name, upload, lambda: path.open("rb"))


def estimated(files: list[File], said: Pipeline) -> int:
    survey = Survey("p", said, Meter.of(said.model))
    for one in files:
        survey.add(one)
    assert not survey.refused
    return survey.estimate(expected.answers(said)).expected.input_tokens


def charged(files: list[File], said: Pipeline) -> int:
    """Count what the emulator charges for the input of the records of files."""
    model = emulated.invocable(said.model, batch=False)
    return sum(
        inference.input_tokens(model, converse.read(orjson.loads(record.model_input), model))
        for one in files
        for document in intake.documents(one, "p", said)
        for part in document.parts
        for record in part.records
    )


@pytest.mark.parametrize("language", [ENGLISH, JAPANESE], ids=["English", "Japanese"])
@pytest.mark.parametrize("family", MODELS)
def test_the_input_is_estimated_within_10_percent_of_what_the_emulator_charges(
    family: str, language: tuple[str, ...]
) -> None:
    said = pipeline(MODELS[family], system="You are a careful clerk.")
    files = [file(SAMPLES / name) for name in language]
    assert estimated(files, said) == pytest.approx(charged(files, said), rel=0.1)


@pytest.mark.parametrize("sample", REFERENCE["samples"], ids=lambda one: one["kind"])
@pytest.mark.parametrize(
    ("family", "counts"), [("Claude", "claude"), ("Claude 2026", "claude-4.7"), ("Llama", "llama")]
)
def test_the_input_is_estimated_within_10_percent_of_published_tokenizers(
    family: str, counts: str, sample: dict[str, Any], tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(sample["text"], encoding="utf-8")
    # One record, and nothing but the text in it: what comes on top is the frame of a request.
    said = pipeline(MODELS[family], prompt="{{ text }}", chunk={"by": "document"})
    true = sample["counts"][counts] + estimate.FRAME_TOKENS
    assert estimated([file(text)], said) == pytest.approx(true, rel=0.1)


def test_the_upper_bound_on_a_document_is_no_lower(tmp_path: Path) -> None:
    """What is reserved counts by classes of characters; for these texts its margin covers the truth."""
    for name in MODELS.values():
        said = pipeline(name)
        files = [file(SAMPLES / one) for one in (*ENGLISH, *JAPANESE)]
        rough = sum(
            record.input_tokens
            for one in files
            for document in intake.documents(one, "p", said)
            for part in document.parts
            for record in part.records
        )
        assert tokens.at_most(rough, name) >= estimated(files, said)
        assert catalog.model(name).known
