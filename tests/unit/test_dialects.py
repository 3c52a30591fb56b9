"""How each family of models is asked, and how its vectors are read; the shapes are AWS's own."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from batchline import catalog, dialects
from batchline.models import Usage
from batchline.pipelines import Pipeline

NOVA = "amazon.nova-2-multimodal-embeddings-v1:0"
ID = "mfzwizltmfzwizltm00000011"


def pipeline(model: str, **changes: Any) -> Pipeline:
    return Pipeline.model_validate({"model": model, "prompt": "{{ text }}", "combine": "list"} | changes)


def body(model: str, **inference: Any) -> dialects.Body:
    spec = pipeline(model, inference=inference)
    return dialects.body(spec, [{"text": "日本"}], model, max_tokens=spec.inference.max_tokens)


@pytest.mark.parametrize(
    ("model", "inference", "expected"),
    [
        ("amazon.titan-embed-text-v1", {}, {"inputText": "日本"}),
        (
            "amazon.titan-embed-text-v2:0",
            {},
            {"inputText": "日本", "dimensions": 1024, "normalize": True},
        ),
        (
            "amazon.titan-embed-image-v1",
            {"dimensions": 384},
            {"inputText": "日本", "embeddingConfig": {"outputEmbeddingLength": 384}},
        ),
        (
            "cohere.embed-multilingual-v3",
            {},
            {"texts": ["日本"], "input_type": "search_document", "truncate": "NONE"},
        ),
        (
            "us.cohere.embed-v4:0",
            {"dimensions": 512},
            {
                "texts": ["日本"],
                "input_type": "search_document",
                "truncate": "NONE",
                "embedding_types": ["float"],
                "output_dimension": 512,
            },
        ),
        (
            NOVA,
            {},
            {
                "schemaVersion": "nova-multimodal-embed-v1",
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "embeddingDimension": 3072,
                    "text": {"truncationMode": "NONE", "value": "日本"},
                },
            },
        ),
    ],
)
def test_each_family_of_embeddings_has_a_body_of_its_own(
    model: str, inference: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert body(model, **inference) == expected


@pytest.mark.parametrize("model", catalog.known_models())
def test_every_known_model_can_be_asked(model: str) -> None:
    asked = body(model)
    assert ("messages" in asked) == (catalog.model(model).invocation_type == "Converse")
    assert "日本" in json.dumps(asked, ensure_ascii=False)


def test_a_model_without_a_system_prompt_gets_it_before_the_prompt() -> None:
    spec = pipeline("amazon.titan-text-express-v1", system="Be brief.", output={"schema": {"type": "array"}})
    asked = dialects.body(spec, [{"text": "Why?"}], spec.model, max_tokens=10)
    assert "system" not in asked
    assert [block["text"] for block in asked["messages"][0]["content"]] == [
        "Be brief.",
        'Answer with one JSON value that satisfies this JSON Schema, and nothing else:\n{"type":"array"}',
        "Why?",
    ]


def line(output: Any) -> bytes:
    return json.dumps({"modelInput": {"inputText": "x"}, "modelOutput": output, "recordId": ID}).encode()


@pytest.mark.parametrize(
    ("output", "tokens"),
    [
        ({"embedding": [0.5, -1e-7], "inputTextTokenCount": 8, "embeddingsByType": {"float": [0.5]}}, 8),
        ({"embeddings": [[0.5, -1e-7]], "id": "a", "response_type": "embeddings_floats", "texts": ["x"]}, 0),
        ({"embeddings": {"float": [[0.5, -1e-7]]}, "id": "a", "response_type": "embeddings_by_type"}, 0),
        ({"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, -1e-7]}]}, 0),
        # What a single call says of its tokens stands beside the model's own words.
        ({"embeddings": [[0.5, -1e-7]], "usage": {"inputTokens": 7, "outputTokens": 0}}, 7),
    ],
)
def test_a_vector_is_read_from_every_shape(output: dict[str, Any], tokens: int) -> None:
    found = dialects.embedded(line(output))
    assert (found.record_id, found.input_tokens) == (ID, tokens)
    assert found.vector == (Decimal("0.5"), Decimal("-1E-7"))
    assert found.value == {"dimensions": 2, "vector": [Decimal("0.5"), Decimal("-1E-7")]}


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"embedding": []},
        {"embeddings": []},
        {"embeddings": [[]]},
        {"embeddings": {"int8": [[1]]}},
        {"embedding": ["x"], "inputTextTokenCount": 1},
        {"embedding": [0.5], "inputTextTokenCount": -1},
        {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn"},
        None,
    ],
)
def test_what_holds_no_vector_is_said_to_hold_none(output: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        dialects.embedded(line(output))


@pytest.mark.parametrize(
    ("output", "usage"),
    [
        ({}, Usage()),
        ({"inputTextTokenCount": 8, "embedding": [0.5]}, Usage(8)),
        # Converse and Anthropic count what the cache held beside the input,
        ({"usage": {"inputTokens": 12, "outputTokens": 3, "totalTokens": 15}}, Usage(12, 3)),
        (
            {
                "usage": {
                    "inputTokens": 12,
                    "outputTokens": 3,
                    "totalTokens": 1039,
                    "cacheReadInputTokens": 1000,
                    "cacheWriteInputTokens": 24,
                    "cacheDetails": [{"ttl": "5m", "inputTokens": 24}],
                }
            },
            Usage(12, 3, 1000, 24),
        ),
        (
            {
                "usage": {
                    "input_tokens": 12,
                    "output_tokens": 3,
                    "cache_read_input_tokens": 1000,
                    "cache_creation_input_tokens": 24,
                }
            },
            Usage(12, 3, 1000, 24),
        ),
        # OpenAI among it: 1,036 were read, 1,000 of them from the cache.
        (
            {
                "usage": {
                    "prompt_tokens": 1036,
                    "completion_tokens": 50,
                    "total_tokens": 1086,
                    "prompt_tokens_details": {"cached_tokens": 1000},
                    "completion_tokens_details": {"reasoning_tokens": 32},
                }
            },
            Usage(36, 50, 1000, 0, 32),
        ),
    ],
)
def test_tokens_are_read_in_every_wording(output: dict[str, Any], usage: Usage) -> None:
    assert dialects.usage(output) == usage
