import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from batchline import pipelines
from batchline.errors import Code, Refused
from batchline.pipelines import Pipeline, parse
from batchline.pipelines.sections import Reduce
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

REPOSITORY = Path(__file__).resolve().parents[2]
MINIMAL = b"model: amazon.nova-lite-v1:0\nprompt: 'Sum up: {{ text }}'\n"
WHOLE = b"""\
model: us.amazon.nova-lite-v1:0
system: You are careful.
prompt: |
  List what is owed in {{ document.name }}:
  {{ text }}
output:
  schema:
    type: object
    required: [owed]
    properties:
      reason: {type: string}
      owed: {type: array, items: {type: string}}
chunk: {max_tokens: 1000, overlap_tokens: 100}
combine: list
inference: {max_tokens: 500, temperature: 0, top_p: 0.9, stop_sequences: [END]}
too_few: flex
max_wait: 90s
attempts: 2
budget: {per_day_usd: 2.50}
"""


def attempt(data: bytes) -> Pipeline | None:
    """Parse a file that may be wrong, but only in the way that its row can tell."""
    try:
        return parse(data)
    except Refused as refused:
        return None if refused.code == Code.PIPELINE_INVALID else pytest.fail(str(refused))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        parse(data)
    assert caught.value.code == Code.PIPELINE_INVALID
    assert caught.value.message.endswith("Correct the file and upload it again.")
    return caught.value.message


def test_the_smallest_file_has_the_documented_defaults() -> None:
    pipeline = parse(MINIMAL)
    assert pipeline.model == "amazon.nova-lite-v1:0"
    assert (pipeline.chunk.by, pipeline.chunk.max_tokens, pipeline.chunk.overlap_tokens) == (
        "tokens",
        2000,
        0,
    )
    assert (pipeline.combine, pipeline.too_few, pipeline.max_wait) == ("concat", "on_demand", 120)
    assert (pipeline.attempts, pipeline.budget, pipeline.output) == (3, None, None)
    assert pipeline.inference.max_tokens == 1024
    assert pipeline.template.render(text="x") == "Sum up: x"


def test_every_key_is_read() -> None:
    pipeline = parse(WHOLE)
    assert pipeline.system == "You are careful."
    assert pipeline.max_wait == 90
    assert str(pipeline.budget.per_day_usd) == "2.5" if pipeline.budget else False
    assert pipeline.inference.stop_sequences == ("END",)
    assert pipeline.template.render(text="t", document={"name": "a.txt"}).startswith(
        "List what is owed in a.txt:"
    )


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("samples/pipelines/*.yaml")), ids=lambda p: p.name)
def test_the_samples_are_valid(path: Path) -> None:
    assert pipelines.NAME.fullmatch(path.stem)
    parse(path.read_bytes())


@pytest.mark.parametrize(
    ("added", "line", "said"),
    [
        ("promt: x", 3, "unknown key promt; did you mean prompt?"),
        ("chunk: {max_token: 100}", 3, "unknown key chunk.max_token; did you mean max_tokens?"),
        ("zzz: 1", 3, "unknown key zzz; known are model, prompt, system"),
        ("output: {shema: {}}", 3, "unknown key output.shema; did you mean schema?"),
        ("output: {}", 3, "output.schema is missing"),
        ("budget: {}", 3, "budget: it limits nothing; write per_day_usd, per_document_usd or both"),
        ("attempts: many", 3, "attempts: input should be a valid integer"),
        ("attempts: true", 3, "attempts: true means nothing here"),
        ("attempts: 0", 3, "attempts: input should be greater than or equal to 1"),
        ("attempts: 10", 3, "attempts: input should be less than or equal to 9"),
        ("system: [a]", 3, "system: input should be a valid string"),
        ("combine: sum", 3, "combine: input should be 'concat', 'list', 'jsonl' or 'csv'"),
        ("chunk: {by: pages}", 3, "chunk.by: input should be 'tokens', 'page', 'row' or 'document'"),
        ("chunk:\n  by: tokens\n  max_tokens: 49", 5, "chunk.max_tokens: input should be greater than"),
        ("chunk: {columns: []}", 3, "name a column"),
        ("chunk: {columns: [a, b, a]}", 3, "a is named twice"),
        ("chunk: {max_tokens: 100, overlap_tokens: 51}", 3, "overlap_tokens may be at most half"),
        ("inference:\n  temperature: 1.5", 4, "inference.temperature: input should be less than"),
        ("inference: {temperature: .nan}", 3, "inference.temperature: input should be a valid number"),
        ("inference: {stop_sequences: [a, b, c, d, e]}", 3, "inference.stop_sequences: tuple should have"),
        ("inference:\n  max_tokens: 10001", 4, "inference.max_tokens is 10001, but amazon.nova-lite-v1:0"),
        ("max_wait: 2 days", 3, "max_wait: write a duration like 30s, 2m, 1h or 7d"),
        ("max_wait: 1.5h", 3, "max_wait: write a duration like 30s, 2m, 1h or 7d"),
        ("cache: 30d", 3, "cache: write true, false or {ttl: 30d}"),
        ("cache: yes", 3, "cache: write true, false or {ttl: 30d}"),
        ("cache: 1", 3, "cache: write true, false or {ttl: 30d}"),
        ("cache:\n  tll: 1h", 4, "unknown key cache.tll; did you mean ttl?"),
        ("cache: {ttl: true}", 3, "cache.ttl: true means nothing here"),
        ("cache: {ttl: a month}", 3, "cache.ttl: write a duration like 30s, 2m, 1h or 7d"),
        ("cache: {ttl: 59s}", 3, "cache.ttl: input should be greater than or equal to 60"),
        ("cache: {ttl: 366d}", 3, "cache.ttl: input should be less than or equal to 31536000"),
        ("max_wait: 169h", 3, "max_wait: input should be less than or equal to 604800"),
        ("max_wait: -1", 3, "max_wait: input should be greater than or equal to 0"),
        ("budget: {per_day_usd: 0}", 3, "budget.per_day_usd: input should be greater than 0"),
        ("model: other", 3, "model is given twice"),
        ("combine: {promt: x}", 3, "unknown key combine.promt; did you mean prompt?"),
        ("combine: {prompt: 'Sum up.'}", 3, "combine.prompt: it uses neither {{ text }} nor {{ parts }}"),
        ("combine: {prompt: '{{ row }}'}", 3, "combine.prompt: unknown variable row; known are text, parts"),
        ("combine: csv", 3, "combine: csv writes a row per input row, which needs `chunk: {by: row}`"),
        ("deadline: 30s", 3, "deadline: input should be greater than or equal to 60"),
        ("timeout_hours: 12", 3, "timeout_hours: input should be greater than or equal to 24"),
        ("review: {when: never}", 3, "review.when: input should be 'confidence' or 'invalid'"),
        ("review: {when: confidence}", 3, "review.when is confidence, which needs output.confidence"),
        (
            "output:\n  schema: {properties: {sure: {}}}\n  confidence: {field: sur, at_least: 1}",
            5,
            "the schema has no property sur; did you mean sure?",
        ),
        ("chunk: {by: row, by: tokens}", 3, "by is given twice"),
        ("system: &a x", 3, "anchors and aliases are not supported"),
        ("<<: {system: x}", 3, "nor is <<"),
        ("system: !!python/name:os.system x", 3, "tags such as !!str are not supported"),
        ("system: !!int foo", 3, "tags such as !!str are not supported"),
        ("1: x", 3, "the key 1 must be text"),
        ("system: 'x", 4, "not YAML: found unexpected end of stream"),
        ("\tsystem: x", 3, "not YAML: found character '\\t' that cannot start any token"),
        ("---\nsystem: x", 3, "not YAML: but found another document"),
        ("system: a\x00b", 3, "not YAML: the character U+0000 is not allowed"),
        ('system: "\\ud800"', 3, "an escape stands for half a character"),
        ("output:\n  schema:\n    type: objekt", 4, "output.schema: not a JSON Schema"),
        ("output: {schema: {pattern: '['}}", 3, "output.schema: not a JSON Schema"),
        ("output: {schema: {properties: {1: {}}}}", 3, "the key 1 must be text"),
        ("output: {schema: {$ref: 'https://example.com/x'}}", 3, "leads outside the file"),
        ("output: {schema: {$dynamicRef: 'other.json#a'}}", 3, "leads outside the file"),
        ("output: {schema: {$ref: '#/$defs/a'}}", 3, "$ref #/$defs/a leads to no schema"),
        ("output: {schema: {$ref: '#/required', required: [a]}}", 3, "leads to no schema"),
        ("output: {schema: {$ref: '#'}}", 3, "$ref # leads back to itself without end"),
        ("output: {schema: {properties: {a: {$ref: '#/properties/a'}}}}", 3, "without end"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(added: str, line: int, said: str) -> None:
    message = refusal(MINIMAL + added.encode() + b"\n")
    assert f"line {line}: " in message
    assert said in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file must hold keys and values"),
        (b"# only a comment\n", "the file must hold keys and values"),
        (b"just text", "the file must hold keys and values"),
        (b"- a\n- b\n", "the file must hold keys and values"),
        (b"model: a\n", "prompt is missing"),
        (b"prompt: '{{ text }}'\n", "model is missing"),
        (b"model: caf\xe9\n", "byte 10 is not UTF-8"),
        (b"\xef\xbb\xbfmodel: caf\xe9\n", "byte 13 is not UTF-8"),
        (b"a: " + b"[" * 60_000, "line 1: nested more than 50 levels deep"),
        (b"a:\n" + b"".join(b" " * n + b"b:\n" for n in range(1, 60)), "nested more than 50 levels deep"),
        (b"#" * 100_001, "the file has 100001 bytes; a pipeline file has at most 100000"),
        (b"model: ''\nprompt: '{{ text }}'\n", "line 1: model: string should have at least 1 character"),
        (b"model: two words\nprompt: '{{ text }}'\n", "line 1: model: string should match pattern"),
        # What people write first.
        (b"model: a\nprompt: {{ text }}\n", "line 2: braces have a meaning in YAML"),
        (
            b"model: example.m\nprompt: '{{ text }}'\ntoo_few: flex\n",
            "line 3: too_few: flex needs a model with the flex tier; example.m has none",
        ),
        (
            b"model: amazon.nova-lite-v1:0\nprompt: '{{ text }}'\ntoo_few: priority\n",
            "line 3: too_few: priority needs a model with the priority tier; amazon.nova-lite-v1:0 has none",
        ),
        # Dates and odd numbers of YAML 1.1 are words here.
        (b"model: 2001-13-45\n", "prompt is missing"),
        (b"model: 0b_\n", "prompt is missing"),
        (b"attempts: " + b"9" * 5_000, "line 1: attempts: "),
    ],
)
def test_files_that_hold_no_pipeline(data: bytes, said: str) -> None:
    assert said in refusal(data)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("Say hello.", "it uses neither {{ text }} nor {{ row }}"),
        ("{{ txt }}", "unknown variable txt; did you mean text?"),
        ("{{ text }} {{ zebra }}", "unknown variable zebra; known are text, document, chunk, row"),
        ("{{ text }", "the template is wrong in its line 1"),
        ("a\n{% if text %}", "the template is wrong in its line 2"),
        ("{{ text|shout }}", "No filter named 'shout'"),
        ("{{ text.split()|random }}", "No filter named 'random'"),
        ("{{ text }}{{ lipsum() }}", "unknown variable lipsum"),
        ("{{ text }}{% include 'other' %}", "the template includes another one"),
        ("{% extends 'other' %}{{ text }}", "the template includes another one"),
        ("{{ row.a }}", "the prompt uses {{ row }}, which needs `chunk: {by: row}`"),
        ("{{ text" + "(" * 3_000 + ")" * 3_000 + " }}", "nested too deeply"),
        ("{% if text %}" * 300 + "{{ text }}" + "{% endif %}" * 300, "nested too deeply"),
        ("{% for a in text %}" * 25 + "{{ text }}" + "{% endfor %}" * 25, "nested too deeply"),
    ],
)
def test_prompts_that_cannot_work(prompt: str, said: str) -> None:
    message = refusal(b"model: amazon.nova-lite-v1:0\nprompt: " + json.dumps(prompt).encode() + b"\n")
    assert said in message
    assert "line 2: " in message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    message = refusal(b"model: a\nsystm: x\nattempts: 0\n")
    assert "prompt is missing" in message
    assert "line 2: unknown key systm; did you mean system?" in message
    assert "line 3: attempts" in message


def test_words_stay_words() -> None:
    pipeline = parse(
        MINIMAL + b"output: {schema: {enum: [no, on, 2026-01-05, 12:30, 1e3, 0x1F, null, true]}}\n"
    )
    assert pipeline.output is not None
    assert pipeline.output.json_schema == {
        "enum": ["no", "on", "2026-01-05", "12:30", 1000.0, "0x1F", None, True]
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("45", 45),
        ("45s", 45),
        ("2m", 120),
        ("'2 m'", 120),
        ("1h", 3600),
        ("168h", 604800),
        ("7d", 604800),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse(MINIMAL + f"max_wait: {text}\n".encode()).max_wait == seconds


@pytest.mark.parametrize(
    ("text", "ttl"),
    [
        ("", None),
        ("cache: false", None),
        ("cache: true", 2_592_000),
        ("cache: {}", 2_592_000),
        ("cache: {ttl: 30d}", 2_592_000),
        ("cache:\n  ttl: 90m", 5_400),
    ],
)
def test_a_cache_keeps_answers_for_a_time(text: str, ttl: int | None) -> None:
    pipeline = parse(MINIMAL + f"{text}\n".encode())
    for one in (pipeline, pipelines.load(pipeline.dump())):
        assert (one.cache and one.cache.ttl) == ttl


def test_models_are_tried_in_their_order() -> None:
    pipeline = parse(b"model: [a.small, b.large]\nprompt: '{{ text }}'\n")
    assert (pipeline.model, pipeline.models) == ("a.small", ("a.small", "b.large"))
    assert pipeline.next_model("a.small") == "b.large"
    assert pipeline.next_model("b.large") is None
    assert pipeline.next_model("c") is None
    assert pipelines.load(pipeline.dump()) == pipeline


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("[]", "line 1: model: the list is empty; name a model"),
        ("['a b']", "line 1: model.0: string should match pattern"),
        ("[a, a]", "line 1: a model is named twice"),
        ("[a, b, c, d]", "line 1: 4 models need as many attempts, but attempts is 3"),
        ("[a, {b: c}]", "line 1: model.1: input should be a valid string"),
    ],
)
def test_a_list_of_models_that_cannot_be_tried(model: str, said: str) -> None:
    assert said in refusal(f"model: {model}\nprompt: '{{{{ text }}}}'\n".encode())


def test_one_model_is_the_same_version_in_a_list_or_not() -> None:
    single = parse(MINIMAL)
    listed = parse(MINIMAL.replace(b"amazon.nova-lite-v1:0", b"[amazon.nova-lite-v1:0]"))
    assert single.version == listed.version


def test_a_reduce_step_is_read() -> None:
    pipeline = parse(MINIMAL + b"combine: {prompt: 'Merge: {{ parts | join }}', max_tokens: 50}\n")
    assert isinstance(pipeline.combine, Reduce)
    assert pipeline.reducing
    assert pipeline.reducing.template.render(parts=["a", "b"]) == "Merge: ab"
    assert (pipeline.combine.model, pipeline.combine.max_tokens) == (None, 50)
    assert pipelines.load(pipeline.dump()) == pipeline


def test_columns_come_before_the_methods_of_a_row() -> None:
    data = b"model: m\nprompt: '{{ row.items }} {{ row.keys }} {{ row[\"a b\"] }}'\nchunk: {by: row}\n"
    row = {"items": "3 apples", "keys": "C#", "a b": "x"}
    assert parse(data).template.render(row=row) == "3 apples C# x"


def test_a_prompt_cannot_reach_into_python() -> None:
    pipeline = parse(b"model: m\nprompt: '{{ text.__class__.__mro__ }}'\n")
    with pytest.raises(Exception, match="access to attribute '__class__'"):
        pipeline.template.render(text="x")


def test_the_version_counts_what_the_file_says() -> None:
    same = [
        MINIMAL,
        b"\xef\xbb\xbf" + MINIMAL,
        MINIMAL.replace(b"\n", b"\r\n"),
        b"# of ours\n" + MINIMAL + b"# the end\n",
        b'prompt: "Sum up: {{ text }}"   # quoted otherwise\nmodel:   amazon.nova-lite-v1:0\n',
        b"{model: amazon.nova-lite-v1:0, prompt: 'Sum up: {{ text }}'}",
    ]
    assert {parse(data).version for data in same} == {parse(MINIMAL).version}
    assert parse(MINIMAL + b"max_wait: 60\n").version == parse(MINIMAL + b"max_wait: 1m\n").version
    others = [
        MINIMAL.replace(b"Sum", b"sum"),
        MINIMAL + b"attempts: 3\n",
        MINIMAL + b"chunk: {by: document}\n",
    ]
    assert len({parse(data).version for data in [MINIMAL, *others]}) == 4


def test_models_answer_in_the_order_of_the_schema_so_it_is_kept() -> None:
    pipeline = pipelines.load(parse(WHOLE).dump())
    assert pipeline.output is not None
    assert list(pipeline.output.json_schema["properties"]) == ["reason", "owed"]
    assert pipeline.schema_text == (
        '{"type":"object","required":["owed"],"properties":{"reason":{"type":"string"},'
        '"owed":{"type":"array","items":{"type":"string"}}}}'
    )


@given(st.permutations(WHOLE.decode().split("\n")))
def test_shuffled_lines_are_read_or_refused(lines: list[str]) -> None:
    attempt("\n".join(lines).encode())


KEYS = st.permutations(list(yaml.safe_load(WHOLE)))


@given(KEYS, st.booleans(), st.integers(1, 8))
def test_the_version_does_not_depend_on_order_or_layout(keys: list[str], flow: bool, indent: int) -> None:
    whole = yaml.safe_load(WHOLE)
    text = yaml.safe_dump(
        {key: whole[key] for key in keys}, sort_keys=False, default_flow_style=flow, indent=indent
    )
    assert parse(text.encode()).version == parse(WHOLE).version


PIPELINES = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["us.amazon.nova-lite-v1:0", "example.m", "openai.gpt-oss-20b-1:0"]),
        "prompt": st.text(st.characters(codec="utf-8", exclude_characters="{}#%"), max_size=20).map(
            lambda text: text + "{{ text }}"
        ),
    },
    optional={
        "system": st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
        "combine": st.sampled_from(["concat", "list"]),
        "max_wait": st.integers(0, 604_800) | st.integers(0, 168).map("{}h".format),
        "attempts": st.integers(1, 9),
        "chunk": st.fixed_dictionaries({}, optional={"max_tokens": st.integers(50, 10**6)}),
        "inference": st.fixed_dictionaries(
            {}, optional={"max_tokens": st.integers(1, 4_096), "temperature": st.floats(0, 1)}
        ),
        "budget": st.fixed_dictionaries({"per_day_usd": st.decimals("0.01", 10**6, places=2).map(float)}),
    },
)


@given(PIPELINES)
def test_what_was_dumped_is_loaded_again(content: dict[str, object]) -> None:
    pipeline = parse(yaml.safe_dump(content, allow_unicode=True).encode())
    again = pipelines.load(pipeline.dump())
    assert again == pipeline
    assert again.dump() == pipeline.dump()
    assert again.version == pipeline.version


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    attempt(data)


YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "$ref", "items", "anyOf", "$id", "$defs", "const"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
PLACES = ["model", "prompt", "system", "output", "chunk", "inference", "max_wait", "attempts", "budget"]


@given(st.dictionaries(st.sampled_from(PLACES), YAML), st.none() | YAML)
def test_any_yaml_is_refused_or_read(content: dict[str, object], schema: object) -> None:
    base = {"model": "example.m", "prompt": "{{ text }}"}
    for document in (content, base | content, base | {"output": {"schema": schema}}):
        found = attempt(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))
        assert found is None or pipelines.load(found.dump()) == found


@given(st.text(alphabet="{}%#()[]|.'\"+*/ -\n0123456789abtexrow", max_size=40))
def test_any_template_is_refused_or_compiled(template: str) -> None:
    data = yaml.safe_dump({"model": "m", "prompt": template + "{{ text }}"}).encode()
    found = attempt(data)
    assert found is None or found.template


@pytest.mark.parametrize(
    ("prompt", "uses"),
    [
        ("{{ text }} {{ document.tags.kind }}", True),
        ("{{ text }} {{ document['tags'] }}", True),
        ("{{ text }} {{ document }}", True),
        ("{{ text }} {% set d = document %}{{ d.tags }}", True),
        ("{{ text }} {{ document[text] }}", True),
        ("{{ text }} {{ document.name }} {{ document['size'] }} tags", False),
        ("{{ text }}", False),
    ],
)
def test_tags_are_used_where_a_prompt_may_read_them(prompt: str, uses: bool) -> None:
    assert Pipeline.model_validate({"model": "m", "prompt": prompt}).uses_tags is uses


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"chunk": {"rows": 2}}, "chunk.rows counts the rows of a table, which needs `by: row`"),
        ({"prompt": "{{ rows }}"}, "the prompt uses {{ rows }}, which needs `chunk: {by: row}`"),
        (
            {"prompt": "{{ row.a }}", "chunk": {"by": "row", "rows": 2}},
            "the prompt uses {{ row }}, but a record has 2 rows; use {{ rows }}",
        ),
    ],
)
def test_rows_fit_the_prompt(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pipeline.model_validate({"model": "m", "prompt": "{{ text }}"} | keys)
    assert said in str(caught.value)


def test_a_loop_over_rows_may_call_each_of_them_row() -> None:
    prompt = "{% for row in rows %}{{ row.a }}{% endfor %}"
    spec = Pipeline.model_validate({"model": "m", "prompt": prompt, "chunk": {"by": "row", "rows": 9}})
    assert spec.chunk.rows == 9


def test_tags_are_such_as_aws_takes() -> None:
    assert parse(MINIMAL + b"tags: {team: legal, 'cost:centre': '4711', empty: ''}\n").tags == {
        "team": "legal",
        "cost:centre": "4711",
        "empty": "",
    }
    assert parse(MINIMAL).tags == {}
    taken = "names of tags that begin with aws: or batchline: are taken"
    for tags, said in (
        ("{'aws:x': a}", taken),
        ("{Batchline:job: a}", taken),
        ("{team: 法務}", "a tag has a name of 1 to 128 and a value of at most 256"),
        ("{'': a}", "a tag has a name of 1 to 128"),
        (f"{{team: {'x' * 257}}}", "a value of at most 256"),
        ("{team: 7}", "tags.team: input should be a valid string"),
        (f"{{{', '.join(f'k{n}: v' for n in range(41))}}}", "at most 40 items"),
    ):
        assert said in refusal(MINIMAL + f"tags: {tags}\n".encode()), tags
        assert "line 3" in refusal(MINIMAL + f"tags: {tags}\n".encode())
