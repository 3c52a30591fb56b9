"""What a model does not take is refused when the pipeline file arrives, with its line."""

import pytest
from batchline import pipelines
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline
from batchline.pipelines.pipeline import IN_FORCE

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
OPUS = "us.anthropic.claude-opus-4-8"
OSS = "openai.gpt-oss-20b-1:0"
NOVA = "us.amazon.nova-lite-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-english-v3"


def parse(model: str, *lines: str) -> Pipeline:
    return pipelines.parse("\n".join([f"model: {model}", 'prompt: "{{ text }}"', *lines]).encode())


@pytest.mark.parametrize(
    ("model", "lines", "said"),
    [
        (
            HAIKU,
            ["inference:", "  temperature: 0", "  top_p: 0.5"],
            (
                "line 5: anthropic.claude-haiku-4-5-20251001-v1:0 takes temperature or top_p, "
                "not both: leave one out"
            ),
        ),
        (
            OPUS,
            ["inference:", "  max_tokens: 10", "  temperature: 0"],
            "line 5: anthropic.claude-opus-4-8 takes no temperature: leave it out",
        ),
        (OSS, ["inference: {stop_sequences: [END]}"], "line 3: openai.gpt-oss-20b"),
        (
            f"[{NOVA}, {OPUS}]",
            ["inference: {top_p: 1}"],
            "line 3: anthropic.claude-opus-4-8 takes no top_p",
        ),
        (
            NOVA,
            ["inference: {max_tokens: 10001}"],
            ("line 3: inference.max_tokens is 10001, but amazon.nova-lite-v1:0 answers at most 10000 tokens"),
        ),
        (
            NOVA,
            ["inference: {dimensions: 256}"],
            (
                "line 3: inference.dimensions is for embeddings, and "
                "amazon.nova-lite-v1:0 answers in words: leave it out"
            ),
        ),
        (
            TITAN,
            ["combine: list", "inference:", "  temperature: 0"],
            (
                "line 5: amazon.titan-embed-text-v2:0 answers with a vector and takes no "
                "temperature: leave it out"
            ),
        ),
        (TITAN, ["inference: {max_tokens: 9}"], "line 3: amazon.titan-embed-text-v2:0"),
        (
            TITAN,
            ["combine: list", "inference: {dimensions: 300}"],
            ("line 4: amazon.titan-embed-text-v2:0 makes vectors of 1024, 512 or 256 numbers, not 300"),
        ),
        (
            COHERE,
            ["combine: list", "inference: {dimensions: 1024}"],
            "line 4: cohere.embed-english-v3 always makes vectors of 1024 numbers",
        ),
        (TITAN, ["system: Be brief."], "line 3: amazon.titan-embed-text-v2:0 answers with a vector"),
        (TITAN, ["output: {schema: {type: array}}"], "line 3: amazon.titan-embed-text-v2:0 answers"),
        (TITAN, [], "line 1: amazon.titan-embed-text-v2:0 answers with a vector, and vectors are not"),
        (TITAN, ["combine: concat"], "line 3: amazon.titan-embed-text-v2:0 answers with a vector"),
        (f"[{TITAN}, {COHERE}]", ["combine: list"], "line 1: amazon.titan-embed-text-v2:0 answers"),
    ],
)
def test_what_a_model_does_not_take_is_refused_with_its_line(model: str, lines: list[str], said: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(model, *lines)
    assert caught.value.code == Code.PIPELINE_INVALID
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize(
    ("model", "lines"),
    [
        (HAIKU, ["inference: {temperature: 0}"]),
        (HAIKU, ["inference: {top_p: 0.5, stop_sequences: [END]}"]),
        (OPUS, ["inference: {stop_sequences: [END]}"]),
        (NOVA, ["inference: {temperature: 0, top_p: 0.5}"]),
        (TITAN, ["combine: list", "inference: {dimensions: 256}"]),
        (TITAN, ["combine: jsonl", "chunk: {by: row}"]),
        (COHERE, ["combine: list"]),
        ("example.unknown-v1", ["inference: {temperature: 0, top_p: 0.5, max_tokens: 100000}"]),
    ],
)
def test_what_a_model_takes_is_accepted(model: str, lines: list[str]) -> None:
    assert parse(model, *lines).model == model


def test_a_version_in_force_stays_in_force_when_the_data_changes() -> None:
    text = Pipeline.model_validate(
        {"model": OPUS, "prompt": "{{ text }}", "inference": {"temperature": 0}}, context=IN_FORCE
    ).dump()
    assert pipelines.load(text).inference.temperature == 0


def test_a_vector_has_no_tokens() -> None:
    assert parse(TITAN, "combine: list").answer_tokens == 0
    assert parse(NOVA).answer_tokens == 1_024
