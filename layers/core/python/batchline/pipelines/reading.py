"""Reading a pipeline file: YAML with the plain values of JSON, and errors that say their line."""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from batchline.errors import Code, Refused
from batchline.pipelines.hints import did_you_mean, ended
from batchline.pipelines.pipeline import Pipeline
from batchline.pipelines.sections import (
    KEYS,
    WORD,
    Budget,
    Cache,
    Chunk,
    Confidence,
    Inference,
    Output,
    Reduce,
    Review,
)
from batchline.pipelines.values import Misfit

if TYPE_CHECKING:
    from batchline.models import Frozen

MAX_FILE_BYTES: Final = 100_000
MAX_DEPTH: Final = 50  # of a file's nesting; Python's own limit on recursion lies far above


class _Loader(yaml.SafeLoader):
    """YAML with the plain values of JSON: `no` is a word, `2026-01-05` is text, `12:30` is no number."""


# Empty first, or the classes of YAML 1.1 would stay; https://yaml.org/spec/1.2.2/#103-core-schema
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,2})?",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def parse(data: bytes) -> Pipeline:
    """Read a pipeline file.

    Raises Refused(PIPELINE_INVALID) with the line and what to change.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _invalid(f"the file has {len(data)} bytes; a pipeline file has at most {MAX_FILE_BYTES}")
    try:
        text = data.decode("utf-8-sig")
        _refuse_unread(text)
        root = yaml.compose(text, Loader=_Loader)
    except UnicodeDecodeError as error:
        start = error.start + len(data) - len(error.object)  # the mark at the start is not counted
        raise _invalid(f"byte {start} is not UTF-8; save the file as UTF-8") from error
    except yaml.YAMLError as error:
        raise _invalid(_yaml_problem(error, text)) from error
    if not isinstance(root, yaml.MappingNode):
        raise _invalid("the file must hold keys and values, such as `model: …` and `prompt: …`")
    lines = dict(_lines(root, ()))
    try:
        return Pipeline.model_validate(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader
    except ValidationError as error:
        problems = [_problem(dict(e), lines) for e in error.errors(include_url=False)]
        raise _invalid("; ".join(dict.fromkeys(problems))) from error


def _invalid(message: str) -> Refused:
    return Refused(Code.PIPELINE_INVALID, f"{ended(message)} Correct the file and upload it again.")


def _yaml_problem(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: not YAML: the character U+{error.character:04X} is not allowed"
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark else ""
    return f"{where}not YAML: {getattr(error, 'problem', None) or error}"


_OPENING: Final = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING: Final = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def _refuse_unread(text: str) -> None:
    """Refuse, before anything is built, what YAML has but a pipeline file does not need."""
    depth = 0
    for token in yaml.scan(text, Loader=_Loader):
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
            raise _invalid(f"line {line}: anchors and aliases are not supported")
        if isinstance(token, yaml.TagToken):
            raise _invalid(f"line {line}: tags such as !!str are not supported; quote what is text")
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > MAX_DEPTH:
            raise _invalid(f"line {line}: nested more than {MAX_DEPTH} levels deep")


type _Path = tuple[str | int, ...]


def _lines(node: yaml.Node, path: _Path) -> Iterator[tuple[_Path, int]]:
    """Yield the line of every key; refuse what YAML would take in silence."""
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = _key(key)
            line = key.start_mark.line + 1
            if name in keys:
                raise _invalid(f"line {line}: {name} is given twice")
            keys.add(name)
            yield (*path, name), line
            yield from _lines(value, (*path, name))
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*path, number), value.start_mark.line + 1
            yield from _lines(value, (*path, number))
    elif not node.value.isascii() and any("\ud800" <= one <= "\udfff" for one in node.value):
        raise _invalid(f"line {node.start_mark.line + 1}: an escape stands for half a character")


def _key(node: yaml.Node) -> str:
    """Read a key, which is text; `prompt: {{ text }}` without quotes would be a mapping as a key."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode):
        raise _invalid(f"line {line}: braces have a meaning in YAML; put the value in quotes or after a |")
    if node.tag == "tag:yaml.org,2002:merge":
        raise _invalid(f"line {line}: anchors and aliases are not supported, nor is <<")
    if node.tag != "tag:yaml.org,2002:str":
        raise _invalid(f"line {line}: the key {node.value or 'that is empty'} must be text; put it in quotes")
    return str(node.value)


def _problem(error: Mapping[str, Any], lines: Mapping[_Path, int]) -> str:
    """Turn one of pydantic's errors into a sentence with its line."""
    path: _Path = tuple(step for step in error["loc"] if step not in {WORD, KEYS})
    if path[-1:] == (0,) and path not in lines:
        path = path[:-1]  # a single word where a list may stand
    cause = error.get("ctx", {}).get("error")
    known = cause.path if isinstance(cause, Misfit) else path
    while known and known not in lines:
        known = known[:-1]
    where = f"line {lines[known]}: " if known else ""
    name = ".".join(map(str, path))
    if error["type"] == "extra_forbidden":
        return f"{where}unknown key {name}{did_you_mean(str(path[-1]), _keys(path[:-1]))}"
    if error["type"] == "missing":
        return f"{where}{name} is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}{name + ': ' if name else ''}{said[0].lower()}{said[1:]}"


def _keys(path: _Path) -> list[str]:
    """Name the keys that a place of the file may have."""
    parts: dict[_Path, type[Frozen]] = {
        (): Pipeline,
        ("chunk",): Chunk,
        ("output",): Output,
        ("output", "confidence"): Confidence,
        ("combine",): Reduce,
        ("inference",): Inference,
        ("budget",): Budget,
        ("cache",): Cache,
        ("review",): Review,
    }
    fields = parts[path].model_fields
    return [field.alias or name for name, field in fields.items()]
