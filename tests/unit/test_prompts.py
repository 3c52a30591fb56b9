import resource
import signal
from typing import Any

import pytest
from batchline import prompts
from batchline.pipelines import TEMPLATES
from hypothesis import given
from hypothesis import strategies as st

BOMBS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that print": "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "recursion": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "power": "{{ (10 ** (10 ** 9)) % 7 }}",
    "squares": "{% set ns = namespace(x=10) %}{% for a in range(60) %}"
    "{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "product": "{{ text * 1000000000000 }}",
    "width": "{{ text|center(1000000000000) }}",
    "format": "{{ '%1000000000000d'|format(1) }}",
    "join": "{% set ns = namespace(x=text) %}{% for a in range(60) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
    "batch": "{% for a in [1]|batch(1000000000000, 0) %}{% endfor %}",
    "range": "{% for a in range(100001) %}{% endfor %}",
    "squared": "{{ (text * 100000)|replace('', text * 100000)|length }}",
}


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAX_SECONDS", 0.3)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(prompts.ERRORS):
        prompts.render(TEMPLATES.from_string(source), {"text": "some words"})
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_a_bomb_says_which_bound_it_crossed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAX_SECONDS", 0.3)
    with pytest.raises(prompts.TooMuch, match=r"longer than 0\.3 seconds"):
        prompts.render(TEMPLATES.from_string(BOMBS["loops"]), {})
    with pytest.raises(prompts.TooMuch, match="512 MB of memory"):
        prompts.render(TEMPLATES.from_string(BOMBS["product"]), {"text": "a"})


def test_a_prompt_is_no_longer_than_any_model_takes() -> None:
    template = TEMPLATES.from_string("{{ text }}{{ text }}")
    whole = "a" * 4_000_000
    assert prompts.render(template, {"text": whole}) == whole * 2
    with pytest.raises(prompts.TooMuch, match="longer than 8,000,000 characters"):
        prompts.render(template, {"text": whole + "b"})


def test_what_the_process_has_taken_since_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "MAX_MEMORY_BYTES", 64 << 20)
    template = TEMPLATES.from_string("{{ (text * 30000000)|length }}")
    assert prompts.render(template, {"text": "a"}) == "30000000"
    taken = bytearray(100 << 20)
    assert prompts.render(template, {"text": "a"}) == "30000000"
    assert len(taken) == 100 << 20


PLAIN = (
    "Sum up: {{ text }}",
    "{{ document.name }}: {{text}}\n\n{{ row.price }}\n",
    "{{ chunk.headings }}, page {{ chunk.page }} {# a note #}{% raw %}{{ text }}{% endraw %}",
    "{{ row.items }}{{ row.missing }}",
    "{{ text }}{{ other }}",
    "no value at all",
)
VALUES = st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text()))
VARIABLES = st.fixed_dictionaries(
    {
        "text": st.text(),
        "document": st.fixed_dictionaries({"name": st.text()}),
        "row": st.dictionaries(st.sampled_from(["price", "items", "keys"]), VALUES),
        "chunk": st.fixed_dictionaries({"page": VALUES, "headings": VALUES}),
    }
)


@pytest.mark.parametrize("source", PLAIN)
@given(variables=st.lists(VARIABLES, min_size=1, max_size=3))
def test_a_plain_template_is_filled_as_jinja_fills_it(source: str, variables: list[dict[str, Any]]) -> None:
    plain = prompts.Plain.of(TEMPLATES.parse(source))
    assert plain is not None
    filled = plain.fill({name: [one[name] for one in variables] for name in variables[0]}, len(variables))
    if filled is not None:
        assert filled == [prompts.render(TEMPLATES.from_string(source), one) for one in variables]


def test_a_plain_template_is_filled_without_jinja() -> None:
    plain = prompts.Plain.of(TEMPLATES.parse("{{ document.name }}, {{ chunk.index }}: {{ text }}"))
    assert plain is not None
    variables = {
        "document": [{"name": "a.txt"}, {"name": "b.txt"}],
        "chunk": [{"index": 2}, {"index": 3.5}],
        "text": ["本", ""],
    }
    assert plain.fill(variables, 2) == ["a.txt, 2: 本", "b.txt, 3.5: "]
    for name, wrong in (("text", None), ("document", {}), ("document", "a.txt"), ("chunk", {"index": []})):
        assert plain.fill(variables | {name: [variables[name][0], wrong]}, 2) is None
    del variables["text"]
    assert plain.fill(variables, 2) is None


@given(document=st.dictionaries(st.sampled_from(["name", "size"]), VALUES), text=st.text())
def test_what_is_known_beforehand_is_filled_all_the_same(document: dict[str, Any], text: str) -> None:
    plain = prompts.Plain.of(TEMPLATES.parse("{{ document.name }}, {{ document.size }}: {{ text }}"))
    assert plain is not None
    variables = {"document": [document] * 2, "text": [text, "b"]}
    assert plain.given("document", document).fill(variables, 2) == plain.fill(variables, 2)


@pytest.mark.parametrize(
    "source", ["{{ text|upper }}", "{% if text %}{{ text }}{% endif %}", "{{ row['a b'] }}"]
)
def test_a_template_that_does_more_is_not_plain(source: str) -> None:
    assert prompts.Plain.of(TEMPLATES.parse(source)) is None
