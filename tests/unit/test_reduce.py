from typing import Any

import orjson
import pytest
from batchline import catalog, reduce
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline
from batchline.tokens import count_tokens
from hypothesis import given
from hypothesis import strategies as st

DOCUMENT = {"name": "a.txt", "key": "inbox/p/a.txt", "pipeline": "p"}
SMALL = "mistral.mistral-small-2402-v1:0"  # has a context of 32,000 tokens


def reducing(prompt: str = "Merge:\n{{ text }}", max_tokens: int = 1_000, **keys: Any) -> Pipeline:
    combine = {"prompt": prompt, "model": SMALL, "max_tokens": max_tokens}
    found = Pipeline.model_validate(
        {"model": "example.m", "prompt": "{{ text }}", "combine": combine, **keys}
    ).reducing
    assert found is not None
    return found


def prompts(answers: list[str], pipeline: Pipeline) -> list[str]:
    return [
        orjson.loads(one.model_input)["messages"][0]["content"][0]["text"]
        for one in reduce.requests(answers, pipeline, DOCUMENT)
    ]


def test_what_fits_together_is_asked_together() -> None:
    assert prompts(["one", "two"], reducing()) == ["Merge:\none\n\ntwo"]
    each = reducing("{{ document.name }}:{% for one in parts %} ({{ one }}){% endfor %}")
    assert prompts(["one", "two"], each) == ["a.txt: (one) (two)"]
    assert prompts(["only"], reducing()) == ["Merge:\nonly"]


def test_the_request_goes_to_the_model_of_the_step() -> None:
    pipeline = reducing()
    (only,) = reduce.requests(["one"], pipeline, DOCUMENT)
    assert pipeline.models == (SMALL,)
    assert orjson.loads(only.model_input)["inferenceConfig"]["maxTokens"] == 1_000


def test_answers_that_do_not_fit_together_make_several_requests() -> None:
    long = "word " * 20_000  # about 22,000 of the 32,000 tokens
    found = prompts([long, "a", "b", long, "c"], reducing())
    assert [one.split("word ")[-1] for one in found] == ["\n\na\n\nb", "\n\nc"]


def test_answers_that_cannot_become_fewer_are_refused() -> None:
    long = "word " * 20_000
    with pytest.raises(Refused, match="No two answers fit together") as caught:
        prompts([long, long, long], reducing())
    assert caught.value.code == Code.PROMPT_TOO_LONG
    assert "combine.model" in caught.value.message


def test_one_answer_that_does_not_fit_is_refused_with_numbers() -> None:
    with pytest.raises(Refused, match="takes 32000 in all") as caught:
        prompts(["word " * 40_000], reducing())
    assert caught.value.code == Code.PROMPT_TOO_LONG


@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=12))
def test_every_answer_is_asked_once_in_its_order_and_fits(sizes: list[int]) -> None:
    answers = [f"<{n}>" + "word " * size for n, size in enumerate(sizes)]
    found = prompts(answers, reducing())
    joined = "".join(found)
    assert [joined.count(f"<{n}>") for n in range(len(answers))] == [1] * len(answers)
    assert list(range(len(answers))) == sorted(range(len(answers)), key=lambda n: joined.find(f"<{n}>"))
    context = catalog.model(SMALL).context
    assert all(count_tokens(one, SMALL) + 1_000 <= context for one in found)
    assert len(found) == 1 or len(found) < len(answers)


def test_parts_are_of_a_shards_size() -> None:
    found = reduce.requests((f"{n}" for n in range(3)), reducing(), DOCUMENT)
    assert [[one.index for one in part] for part in reduce.parts(found)] == [[0]]
