"""On-demand inference through boto3: every dialect, quotas, guardrails, tiers."""

import json
import math
from typing import Any

import pytest
from batchline.aws.runtime import CallError, Runtime
from batchline.models import Tier
from botocore.exceptions import ClientError

from .conftest import HAIKU, NOVA, Bench

TEXT = (
    "The supplier shall deliver the pumps by 12 March 2025. "
    "The price of the pumps is USD 1,250.00 in total. "
    "Acme Ltd must insure the pumps during transport. "
    "Lunch was served at noon."
)
PROMPT = f"Summarize the following text in one sentence:\n\n{TEXT}"
SENTENCES = TEXT.replace(". ", ".|").split("|")


def ask(bench: Bench, model: str = NOVA, prompt: str = PROMPT, **members: Any) -> Any:
    messages = [{"role": "user", "content": [{"text": prompt}]}]
    return bench.runtime.converse(modelId=model, messages=messages, **members)


def invoke(bench: Bench, model: str, body: dict[str, Any], **headers: str) -> Any:
    answer = bench.runtime.invoke_model(modelId=model, body=json.dumps(body), **headers)
    return json.load(answer["body"])


def text_of(answer: Any) -> str:
    [block] = answer["output"]["message"]["content"]
    text: str = block["text"]
    return text


class TestConverse:
    def test_an_answer_is_a_sentence_of_the_document(self, bench: Bench) -> None:
        answer = ask(bench)
        assert text_of(answer) in SENTENCES
        assert answer["stopReason"] == "end_turn"
        # Nova's 3.7 characters a token, the ratio of the data file, and 4 for the turn.
        expected = math.ceil(len(PROMPT) / 3.7) + 4
        assert answer["usage"]["inputTokens"] == expected
        assert answer["usage"]["totalTokens"] == expected + answer["usage"]["outputTokens"]

    def test_max_tokens_really_cuts(self, bench: Bench) -> None:
        whole = text_of(ask(bench))
        answer = ask(bench, inferenceConfig={"maxTokens": 3})
        assert answer["stopReason"] == "max_tokens"
        assert answer["usage"]["outputTokens"] == 3
        assert whole.startswith(text_of(answer))
        assert 0 < len(text_of(answer)) <= 3 * 4.5

    def test_a_stop_sequence_ends_the_answer(self, bench: Bench) -> None:
        whole = text_of(ask(bench))
        stop = whole.split()[2]
        answer = ask(bench, inferenceConfig={"stopSequences": [stop]})
        assert answer["stopReason"] == "stop_sequence"
        assert text_of(answer) == whole[: whole.index(stop)]

    def test_a_schema_is_filled_from_the_text(self, bench: Bench) -> None:
        schema = {
            "type": "object",
            "required": ["obligations", "delivery_date", "total_price", "supplier"],
            "properties": {
                "obligations": {"type": "array", "items": {"type": "string"}},
                "delivery_date": {"type": "string", "format": "date"},
                "total_price": {"type": "number"},
                "supplier": {"type": "string"},
            },
        }
        structure = {"jsonSchema": {"schema": json.dumps(schema), "name": "contract"}}
        answer = ask(bench, outputConfig={"textFormat": {"type": "json_schema", "structure": structure}})
        assert json.loads(text_of(answer)) == {
            "obligations": [
                "The supplier shall deliver the pumps by 12 March 2025.",
                "Acme Ltd must insure the pumps during transport.",
            ],
            "delivery_date": "2025-03-12",
            "total_price": 1250.0,
            "supplier": "Acme Ltd",
        }

    def test_a_demanded_tool_is_called(self, bench: Bench) -> None:
        spec = {
            "name": "record_price",
            "inputSchema": {"json": {"type": "object", "properties": {"price": {"type": "number"}}}},
        }
        answer = ask(
            bench,
            toolConfig={"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": "record_price"}}},
        )
        assert answer["stopReason"] == "tool_use"
        [block] = answer["output"]["message"]["content"]
        assert block["toolUse"]["name"] == "record_price"
        assert block["toolUse"]["input"] == {"price": 1250.0}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"modelId": "acme.nothing-v1:0"}, "The provided model identifier is invalid"),
            ({"modelId": "anthropic.claude-haiku-4-5-20251001-v1:0"}, "isn’t supported"),
            ({"modelId": "amazon.titan-embed-text-v2:0"}, "doesn't support the model"),
            ({"messages": []}, "must have at least one message"),
            ({"messages": [{"role": "assistant", "content": [{"text": "a"}]}]}, "start with a user"),
            ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
            ({"messages": [{"role": "user", "content": []}]}, "is empty"),
            ({"messages": [{"role": "robot", "content": [{"text": "a"}]}]}, "messages.1.member.role"),
            ({"inferenceConfig": {"temperature": 1.5}}, "inferenceConfig.temperature"),
            ({"inferenceConfig": {"maxTokens": 10_001}}, "exceeds the model limit of 10000"),
            ({"serviceTier": {"type": "gold"}}, "serviceTier.type"),
        ],
    )
    def test_bad_requests(self, bench: Bench, changes: dict[str, Any], message: str) -> None:
        request: dict[str, Any] = {
            "modelId": NOVA,
            "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        }
        with pytest.raises(ClientError) as refused:
            bench.runtime.converse(**{**request, **changes})
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert message in refused.value.response["Error"]["Message"]

    def test_one_of_temperature_and_top_p(self, bench: Bench) -> None:
        both = {"temperature": 0.5, "topP": 0.5}
        assert text_of(ask(bench, inferenceConfig=both))
        with pytest.raises(ClientError, match="cannot both be specified"):
            ask(bench, HAIKU, inferenceConfig=both)

    def test_service_tiers(self, bench: Bench) -> None:
        answer = ask(bench, serviceTier={"type": "flex"})
        assert answer["serviceTier"] == {"type": "flex"}
        with pytest.raises(ClientError, match="service tier flex is not supported"):
            ask(bench, HAIKU, serviceTier={"type": "flex"})


CLAUDE = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": PROMPT}],
}


class TestInvokeModel:
    @pytest.mark.parametrize(
        ("model", "body", "path"),
        [
            (HAIKU, CLAUDE, ["content", 0, "text"]),
            (
                NOVA,
                {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]},
                ["output", "message", "content", 0, "text"],
            ),
            ("us.meta.llama3-3-70b-instruct-v1:0", {"prompt": PROMPT}, ["generation"]),
            ("mistral.mistral-small-2402-v1:0", {"prompt": PROMPT}, ["outputs", 0, "text"]),
            (
                "mistral.mistral-large-2407-v1:0",
                {"messages": [{"role": "user", "content": PROMPT}]},
                ["choices", 0, "message", "content"],
            ),
            ("amazon.titan-text-express-v1", {"inputText": PROMPT}, ["results", 0, "outputText"]),
            ("cohere.command-r-v1:0", {"message": PROMPT}, ["text"]),
        ],
    )
    def test_each_dialect_answers_in_its_own_form(
        self, bench: Bench, model: str, body: dict[str, Any], path: list[Any]
    ) -> None:
        found = invoke(bench, model, body)
        for step in path:
            found = found[step]
        assert found in SENTENCES

    def test_gpt_oss_reasons_before_it_answers(self, bench: Bench) -> None:
        body = {"messages": [{"role": "user", "content": PROMPT}]}
        answer = invoke(bench, "openai.gpt-oss-20b-1:0", body)
        thought, said = answer["choices"][0]["message"]["content"].split("</reasoning>")
        assert thought.startswith("<reasoning>")
        assert said in SENTENCES
        cut = invoke(bench, "openai.gpt-oss-20b-1:0", {**body, "max_completion_tokens": 5})
        assert cut["choices"][0]["finish_reason"] == "length"
        assert cut["usage"]["completion_tokens"] == 5

    def test_token_counts_are_in_the_headers(self, bench: Bench) -> None:
        answer = bench.runtime.invoke_model(modelId=HAIKU, body=json.dumps(CLAUDE))
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        usage = json.load(answer["body"])["usage"]
        assert headers["x-amzn-bedrock-input-token-count"] == str(usage["input_tokens"])
        assert headers["x-amzn-bedrock-output-token-count"] == str(usage["output_tokens"])

    @pytest.mark.parametrize(
        ("model", "body", "message"),
        [
            (HAIKU, {"max_tokens": 1, "messages": []}, "anthropic_version: Field required"),
            (HAIKU, {**CLAUDE, "model": "x"}, "model: Extra inputs are not permitted"),
            (HAIKU, {**CLAUDE, "max_tokens": 64_001}, "max_tokens: 64001 > 64000"),
            (HAIKU, {**CLAUDE, "temperature": 0.5, "top_p": 0.5}, "cannot both be specified"),
            (NOVA, {}, "Malformed input request: #: required key [messages] not found"),
            (NOVA, {"messages": [], "foo": 1}, "2 schema violations found"),
            ("amazon.titan-text-express-v1", {"inputText": "a", "foo": 1}, "extraneous key [foo]"),
            (
                "us.meta.llama3-3-70b-instruct-v1:0",
                {"prompt": "a", "temperature": 2},
                "#/temperature: 2 is not less or equal to 1",
            ),
        ],
    )
    def test_bad_bodies(self, bench: Bench, model: str, body: dict[str, Any], message: str) -> None:
        with pytest.raises(ClientError) as refused:
            invoke(bench, model, body)
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        assert message in refused.value.response["Error"]["Message"]

    @pytest.mark.parametrize("dimensions", [256, 512, 1024])
    def test_embeddings(self, bench: Bench, dimensions: int) -> None:
        def embed(text: str) -> list[float]:
            body = {"inputText": text, "dimensions": dimensions}
            vector: list[float] = invoke(bench, "amazon.titan-embed-text-v2:0", body)["embedding"]
            return vector

        def nearness(one: list[float], other: list[float]) -> float:
            return sum(a * b for a, b in zip(one, other, strict=True))

        pumps = embed("The pumps were delivered to the harbour.")
        assert len(pumps) == dimensions
        assert math.hypot(*pumps) == pytest.approx(1)
        assert embed("The pumps were delivered to the harbour.") == pumps
        near = nearness(pumps, embed("The pumps were delivered to the old harbour."))
        far = nearness(pumps, embed("Quarterly interest is payable in advance."))
        assert near > 0.8
        assert far < 0.4


class TestCountTokens:
    def test_both_forms_agree_with_what_is_billed(self, bench: Bench) -> None:
        messages = [{"role": "user", "content": [{"text": PROMPT}]}]
        model = "anthropic.claude-3-haiku-20240307-v1:0"
        count = bench.runtime.count_tokens
        by_converse = count(modelId=model, input={"converse": {"messages": messages}})
        by_body = count(modelId=model, input={"invokeModel": {"body": json.dumps(CLAUDE).encode()}})
        billed = ask(bench, model)["usage"]["inputTokens"]
        assert by_converse["inputTokens"] == by_body["inputTokens"] == billed

    def test_batchline_asks_for_the_model_behind_a_profile(self, bench: Bench) -> None:
        body = {
            "messages": [{"role": "user", "content": [{"text": PROMPT}]}],
            "system": [{"text": "Be brief."}],
            "inferenceConfig": {"maxTokens": 100},
        }
        runtime = Runtime(bench.runtime)
        charged = runtime.ask(HAIKU, "Converse", body, Tier.DEFAULT)["usage"]["inputTokens"]
        assert runtime.count(HAIKU, "Converse", body) == charged
        with pytest.raises(CallError, match=r"400: .*doesn't support counting tokens"):
            runtime.count(NOVA, "Converse", body)

    def test_models_without_it(self, bench: Bench) -> None:
        with pytest.raises(ClientError, match="doesn't support counting tokens"):
            bench.runtime.count_tokens(
                modelId=NOVA,
                input={"converse": {"messages": [{"role": "user", "content": [{"text": "a"}]}]}},
            )


class TestQuotas:
    def test_requests_per_minute(self, bench: Bench) -> None:
        bench.control("PUT", "limits", {"requests_per_minute": 2})
        ask(bench)
        ask(bench)
        with pytest.raises(ClientError, match="Too many requests"):
            ask(bench)
        ask(bench, HAIKU)
        bench.advance(60)
        ask(bench)

    def test_tokens_per_minute_reserve_the_maximum_and_settle(self, bench: Bench) -> None:
        # The prompt has 65 tokens: two of them with 400 reserved need 930 at once, but only
        # about 160 once settled.
        bench.control("PUT", "limits", {"tokens_per_minute": 600})
        ask(bench, inferenceConfig={"maxTokens": 400})
        ask(bench, inferenceConfig={"maxTokens": 400})
        with pytest.raises(ClientError, match="Too many tokens"):
            ask(bench, inferenceConfig={"maxTokens": 590})

    def test_output_of_claude_burns_five_times(self, bench: Bench) -> None:
        used = ask(bench, HAIKU)["usage"]
        burnt = used["inputTokens"] + 5 * used["outputTokens"]
        limit = burnt + used["inputTokens"] + 10
        bench.control("PUT", "limits", {"tokens_per_minute": limit})
        bench.advance(60)
        ask(bench, HAIKU, inferenceConfig={"maxTokens": used["outputTokens"]})
        with pytest.raises(ClientError, match="Too many tokens"):
            ask(bench, HAIKU, inferenceConfig={"maxTokens": 11})
        ask(bench, HAIKU, inferenceConfig={"maxTokens": 10})


class TestGuardrails:
    @pytest.fixture(autouse=True)
    def guardrail(self, bench: Bench) -> None:
        words = {"words": ["pumps", "secret"], "blocked_input": "No.", "blocked_output": "Hidden."}
        bench.control("PUT", "guardrails/g1", words)

    def apply(self, bench: Bench, text: str, **changes: str) -> Any:
        request: dict[str, Any] = {
            "guardrailIdentifier": "g1",
            "guardrailVersion": "1",
            "source": "INPUT",
            "content": [{"text": {"text": text}}],
            **changes,
        }
        return bench.runtime.apply_guardrail(**request)

    def test_a_listed_word_is_blocked(self, bench: Bench) -> None:
        answer = self.apply(bench, "Tell me the SECRET.")
        assert answer["action"] == "GUARDRAIL_INTERVENED"
        assert answer["outputs"] == [{"text": "No."}]
        [found] = answer["assessments"]
        assert found["wordPolicy"]["customWords"] == [
            {"match": "secret", "action": "BLOCKED", "detected": True}
        ]
        assert answer["usage"]["wordPolicyUnits"] == 1

    def test_other_text_passes(self, bench: Bench) -> None:
        answer = self.apply(bench, "The secretary is here.")
        assert (answer["action"], answer["outputs"]) == ("NONE", [])

    def test_unknown(self, bench: Bench) -> None:
        for change in ({"guardrailIdentifier": "g2"}, {"guardrailVersion": "9"}):
            with pytest.raises(ClientError, match="ResourceNotFoundException"):
                self.apply(bench, "a", **change)

    def test_converse_is_guarded(self, bench: Bench) -> None:
        config = {"guardrailIdentifier": "g1", "guardrailVersion": "1", "trace": "enabled"}
        answer = ask(bench, guardrailConfig=config)
        assert answer["stopReason"] == "guardrail_intervened"
        assert text_of(answer) == "No."
        assert answer["usage"]["totalTokens"] == 0
        found = answer["trace"]["guardrail"]["inputAssessment"]["g1"]["wordPolicy"]["customWords"]
        assert [word["match"] for word in found] == ["pumps"]
        assert "trace" not in ask(
            bench, prompt="Hello there", guardrailConfig={**config, "trace": "disabled"}
        )

    def test_invoke_is_guarded(self, bench: Bench) -> None:
        headers = {"guardrailIdentifier": "g1", "guardrailVersion": "1"}
        answer = invoke(bench, HAIKU, CLAUDE, **headers)
        assert answer["amazon-bedrock-guardrailAction"] == "INTERVENED"
        assert answer["content"][0]["text"] == "No."
