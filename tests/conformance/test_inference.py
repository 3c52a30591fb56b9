"""On-demand inference and the model catalogue as AWS's documents describe them."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import Target

API = "https://docs.aws.amazon.com/bedrock/latest/APIReference/"
GUIDE = "https://docs.aws.amazon.com/bedrock/latest/userguide/"
NOVA_EMBEDDINGS = "amazon.nova-2-multimodal-embeddings-v1:0"
TEXT = "Write a long story about a harbour. It must have many sentences, each about one ship."


def turns(text: str = TEXT) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def nova_embedding(said: str, **parameters: Any) -> dict[str, Any]:
    single = {"embeddingPurpose": "GENERIC_INDEX", "text": {"truncationMode": "NONE", "value": said}}
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": single | parameters}


def invoked(runtime: Any, model: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.load(runtime.invoke_model(modelId=model, body=json.dumps(body))["body"])
    return answer


class TestConverse:
    @pytest.mark.source(API + "API_runtime_Converse.html")
    def test_answer(self, runtime: Any, target: Target) -> None:
        answer = runtime.converse(modelId=target.model, messages=turns())
        assert answer["output"]["message"]["role"] == "assistant"
        assert answer["stopReason"] in {"end_turn", "max_tokens"}
        usage = answer["usage"]
        assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
        assert answer["metrics"]["latencyMs"] > 0

    @pytest.mark.source(API + "API_runtime_Converse.html")
    def test_max_tokens(self, runtime: Any, target: Target) -> None:
        answer = runtime.converse(modelId=target.model, messages=turns(), inferenceConfig={"maxTokens": 2})
        assert answer["stopReason"] == "max_tokens"
        assert answer["usage"]["outputTokens"] == 2

    @pytest.mark.source(API + "API_runtime_OutputConfig.html")
    def test_structured_output(self, runtime: Any, target: Target) -> None:
        schema = {
            "type": "object",
            "properties": {"ships": {"type": "array", "items": {"type": "string"}}},
            "required": ["ships"],
            "additionalProperties": False,
        }
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "ships"}}
        answer = runtime.converse(
            modelId=target.claude,
            messages=turns(),
            outputConfig={"textFormat": {"type": "json_schema", "structure": structure}},
        )
        found = json.loads(answer["output"]["message"]["content"][0]["text"])
        assert found.keys() == {"ships"}
        assert all(isinstance(ship, str) for ship in found["ships"])

    @pytest.mark.source(API + "API_runtime_Converse.html")
    @pytest.mark.parametrize(
        "change",
        [
            {"messages": []},
            {"messages": [{"role": "assistant", "content": [{"text": "a"}]}]},
            {"inferenceConfig": {"temperature": 1.1}},
            {"modelId": "acme.unknown-v1:0"},
        ],
        ids=["no message", "assistant first", "temperature", "model"],
    )
    def test_refusals(self, runtime: Any, target: Target, change: dict[str, Any]) -> None:
        with pytest.raises(ClientError) as refused:
            runtime.converse(**{"modelId": target.model, "messages": turns(), **change})
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


class TestInvokeModel:
    @pytest.mark.source(GUIDE + "model-parameters-anthropic-claude-messages-request-response.html")
    def test_claude(self, runtime: Any, target: Target) -> None:
        body = {
            "anthropic_version": "bedrock-2023-05-31",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": [{"type": "text", "text": TEXT}]}],
        }
        answer = runtime.invoke_model(modelId=target.claude, body=json.dumps(body))
        assert answer["contentType"] == "application/json"
        found = json.load(answer["body"])
        assert found.keys() >= {
            "id",
            "model",
            "type",
            "role",
            "content",
            "stop_reason",
            "stop_sequence",
            "usage",
        }
        assert found["type"] == "message"
        assert found["content"][0]["type"] == "text"

    @pytest.mark.source("https://docs.aws.amazon.com/nova/latest/userguide/using-invoke-api.html")
    def test_nova(self, runtime: Any, target: Target) -> None:
        body = {"messages": turns(), "inferenceConfig": {"maxTokens": 50}}
        found = json.load(runtime.invoke_model(modelId=target.model, body=json.dumps(body))["body"])
        assert found["output"]["message"]["content"][0]["text"]
        assert found["usage"]["inputTokens"] > 0

    @pytest.mark.source(GUIDE + "model-parameters-titan-embed-text.html")
    @pytest.mark.parametrize("dimensions", [256, 512, 1024])
    def test_titan_embeddings(self, runtime: Any, dimensions: int) -> None:
        body = {"inputText": "A harbour.", "dimensions": dimensions, "embeddingTypes": ["float", "binary"]}
        answer = runtime.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps(body))
        found = json.load(answer["body"])
        assert found.keys() == {"embedding", "embeddingsByType", "inputTextTokenCount"}
        assert len(found["embedding"]) == dimensions
        assert found["embeddingsByType"]["float"] == found["embedding"]
        assert set(found["embeddingsByType"]["binary"]) <= {0, 1}
        assert sum(value**2 for value in found["embedding"]) == pytest.approx(1, abs=1e-3)

    @pytest.mark.source(GUIDE + "model-parameters-titan-embed-text.html")
    def test_other_dimensions_are_refused(self, runtime: Any) -> None:
        body = {"inputText": "A harbour.", "dimensions": 300}
        with pytest.raises(ClientError, match="ValidationException"):
            runtime.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps(body))

    @pytest.mark.source(GUIDE + "model-parameters-titan-embed-mm.html")
    @pytest.mark.parametrize("length", [256, 384, 1024])
    def test_titan_multimodal_embeddings(self, runtime: Any, length: int) -> None:
        found = invoked(
            runtime,
            "amazon.titan-embed-image-v1",
            {"inputText": "A harbour.", "embeddingConfig": {"outputEmbeddingLength": length}},
        )
        assert len(found["embedding"]) == length
        assert found["inputTextTokenCount"] > 0

    @pytest.mark.source("https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html")
    @pytest.mark.parametrize("dimension", [256, 384, 1024, 3072])
    def test_nova_embeddings(self, runtime: Any, dimension: int) -> None:
        found = invoked(runtime, NOVA_EMBEDDINGS, nova_embedding("A harbour.", embeddingDimension=dimension))
        assert found.keys() == {"embeddings"}
        [one] = found["embeddings"]
        assert one.keys() == {"embeddingType", "embedding"}
        assert one["embeddingType"] == "TEXT"
        assert len(one["embedding"]) == dimension

    @pytest.mark.source("https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html")
    def test_nova_cuts_a_long_text_only_where_it_may(self, runtime: Any) -> None:
        long = "The ferry was late again. " * 1_900
        with pytest.raises(ClientError, match="ValidationException"):
            invoked(runtime, NOVA_EMBEDDINGS, nova_embedding(long))
        cut = nova_embedding(long)
        cut["singleEmbeddingParams"]["text"]["truncationMode"] = "END"
        assert invoked(runtime, NOVA_EMBEDDINGS, cut)["embeddings"][0]["truncatedCharLength"] < len(long)

    @pytest.mark.source("https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html")
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("embeddingDimension", 512),
            ("embeddingPurpose", "STORAGE"),
            ("text", {"truncationMode": "NONE", "value": "x" * 50_001}),
        ],
    )
    def test_bad_parameters_of_nova_embeddings(self, runtime: Any, name: str, value: Any) -> None:
        with pytest.raises(ClientError, match="ValidationException"):
            invoked(runtime, NOVA_EMBEDDINGS, nova_embedding("A harbour.", **{name: value}))

    @pytest.mark.source(GUIDE + "model-parameters-embed-v3.html")
    def test_cohere_embeddings(self, runtime: Any) -> None:
        texts = ["A harbour.", "A lighthouse."]
        body = {"texts": texts, "input_type": "search_document", "truncate": "NONE"}
        found = invoked(runtime, "cohere.embed-multilingual-v3", body)
        assert found["response_type"] == "embeddings_floats"
        assert found["texts"] == texts
        assert [len(one) for one in found["embeddings"]] == [1024, 1024]

    @pytest.mark.source(GUIDE + "model-parameters-embed-v3.html")
    @pytest.mark.parametrize(
        "wrong", [{"input_type": "storage"}, {"texts": ["x" * 2049]}, {"texts": ["x"] * 97}]
    )
    def test_bad_parameters_of_cohere_embeddings(self, runtime: Any, wrong: dict[str, Any]) -> None:
        body = {"texts": ["A harbour."], "input_type": "search_document"} | wrong
        with pytest.raises(ClientError, match="ValidationException"):
            invoked(runtime, "cohere.embed-multilingual-v3", body)

    @pytest.mark.source(GUIDE + "model-parameters-embed-v4.html")
    @pytest.mark.parametrize("dimension", [256, 512, 1024, 1536])
    def test_cohere_v4_embeddings(self, runtime: Any, dimension: int) -> None:
        body = {
            "texts": ["A harbour."],
            "input_type": "search_document",
            "embedding_types": ["float"],
            "output_dimension": dimension,
        }
        vectors = invoked(runtime, "us.cohere.embed-v4:0", body)["embeddings"]
        floats = vectors["float"] if isinstance(vectors, dict) else vectors
        assert [len(one) for one in floats] == [dimension]

    @pytest.mark.source(API + "API_runtime_InvokeModel.html")
    def test_a_body_that_is_no_json(self, runtime: Any, target: Target) -> None:
        with pytest.raises(ClientError, match="ValidationException"):
            runtime.invoke_model(modelId=target.model, body=b"{")


class TestCountTokens:
    @pytest.mark.source(GUIDE + "count-tokens.html")
    def test_it_equals_what_is_charged(self, runtime: Any, target: Target) -> None:
        model = target.claude[target.claude.index("anthropic.") :]
        counted = runtime.count_tokens(modelId=model, input={"converse": {"messages": turns()}})
        config = {"maxTokens": 1}
        used = runtime.converse(modelId=target.claude, messages=turns(), inferenceConfig=config)
        assert counted["inputTokens"] == used["usage"]["inputTokens"]

    @pytest.mark.source("https://github.com/Boise-State-Development/agentcore-public-stack/pull/430")
    def test_it_knows_models_and_not_their_profiles(self, runtime: Any, target: Target) -> None:
        profile = "us." + target.claude[target.claude.index("anthropic.") :]
        with pytest.raises(ClientError, match="doesn't support counting tokens"):
            runtime.count_tokens(modelId=profile, input={"converse": {"messages": turns()}})


class TestCatalogue:
    @pytest.mark.source(API + "API_ListFoundationModels.html")
    def test_models(self, bedrock: Any) -> None:
        embedding = bedrock.list_foundation_models(byOutputModality="EMBEDDING")["modelSummaries"]
        assert embedding
        assert all("EMBEDDING" in model["outputModalities"] for model in embedding)
        identifier = embedding[0]["modelId"]
        details = bedrock.get_foundation_model(modelIdentifier=identifier)["modelDetails"]
        assert details["modelId"] == identifier

    @pytest.mark.source(API + "API_GetFoundationModel.html")
    def test_an_unknown_model(self, bedrock: Any) -> None:
        with pytest.raises(ClientError) as refused:
            bedrock.get_foundation_model(modelIdentifier="acme.unknown-v1:0")
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"

    @pytest.mark.source(API + "API_ListInferenceProfiles.html")
    def test_profiles(self, bedrock: Any, target: Target) -> None:
        pages = bedrock.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
        ids = {p["inferenceProfileId"] for page in pages for p in page["inferenceProfileSummaries"]}
        assert target.claude in ids
        profile = bedrock.get_inference_profile(inferenceProfileIdentifier=target.claude)
        assert profile["models"]
