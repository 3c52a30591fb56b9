"""Recommend: which model is good enough, told by a sample of real records that several have answered."""

import random
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Final

import orjson

from batchline import catalog
from batchline.chunk import Part
from batchline.errors import BatchlineError
from batchline.models import Engine, Failure, Usage
from batchline.money import prices
from batchline.records import Record

SEED: Final = 20_260_101  # the same files give the same sample
# A word; Chinese, Japanese and Thai have no spaces, so that each of their characters is one.
WORD: Final = re.compile(
    r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)

NOTHING: Final = Usage()

type Known = Mapping[tuple[str, int], Any]


class AnswersError(BatchlineError):
    """A file of known answers cannot be used; the message says which line is wrong and why. Correct it."""


def read_answers(lines: Iterable[bytes], where: str) -> Known:
    """Read known answers: a JSON object on each line, with `document`, `answer` and `record` (0 if left out).

    `document` is a path as it is given to the command, or a file name. Raises AnswersError.
    """
    found: dict[tuple[str, int], Any] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise AnswersError(f"{where}, line {number}: not JSON: {error}.") from error
        if not isinstance(said, dict) or not {"document", "answer"} <= said.keys() <= {
            "document",
            "record",
            "answer",
        }:
            raise AnswersError(f"{where}, line {number}: write an object with document, record and answer.")
        document, record = said["document"], said.get("record", 0)
        if not isinstance(document, str) or type(record) is not int or record < 0:
            raise AnswersError(f"{where}, line {number}: document is a name, record a number from 0 on.")
        found[document, record] = said["answer"]
    if not found:
        raise AnswersError(f"{where} holds no answers.")
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """A record of the sample, and its known answer in a list of one where there is one."""

    document: str
    record: Record
    known: tuple[Any, ...] = ()


@dataclass(slots=True)
class Sample:
    """So many records of all that are added, each with the same chance; first those whose answer is known.

    https://en.wikipedia.org/wiki/Reservoir_sampling#Simple:_Algorithm_R
    """

    size: int
    known: Known = field(default_factory=dict)
    documents: int = 0
    records: int = 0
    _told: list[Asked] = field(default_factory=list)
    _told_seen: int = 0
    _others: list[Asked] = field(default_factory=list)
    _others_seen: int = 0
    _chance: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311 - no secret

    def add(self, document: str, parts: Iterable[Part]) -> None:
        """Add the records of a document. What the parts raise goes on; what came before it stays."""
        begun = False
        for part in parts:
            self.documents += not begun
            begun = True
            for one in part.records:
                self._add(document, one)

    def _add(self, document: str, one: Record) -> None:
        self.records += 1
        key = next((name for name in _names(document) if (name, one.index) in self.known), None)
        if key is None:
            self._others_seen += 1
            self._keep(self._others, self._others_seen, Asked(document, one))
        else:
            self._told_seen += 1
            self._keep(self._told, self._told_seen, Asked(document, one, (self.known[key, one.index],)))

    def _keep(self, kept: list[Asked], seen: int, one: Asked) -> None:
        if len(kept) < self.size:
            kept.append(one)
        elif (place := self._chance.randrange(seen)) < self.size:
            kept[place] = one

    @property
    def taken(self) -> list[Asked]:
        return [*self._told, *self._others][: self.size]


def _names(document: str) -> tuple[str, str]:
    return document, PurePosixPath(document).name


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said to a record: a good answer in a list of one, or why there is none.

    `seconds` is how long the call took; None where it was not answered.
    """

    value: tuple[Any, ...] = ()
    failure: Failure | None = None
    usage: Usage = NOTHING
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a model did. Shares are from 0 to 1, None where nothing tells; costs are in USD.

    `cost_per_document` is in batch where the model has it, else on demand, None where it has not answered.
    `agreement` is with the answers of the reference, `correctness` with those that are known.
    """

    model: str
    asked: int
    answered: int
    valid: float
    agreement: float | None
    correctness: float | None
    median_seconds: float | None
    slowest_seconds: float | None
    cost_per_document: Decimal | None
    paid: Decimal
    basis: str
    failures: Mapping[str, int]
    message: str

    @property
    def quality(self) -> float | None:
        """What is known to be right counts; where nothing is, the reference does."""
        return self.agreement if self.correctness is None else self.correctness


def stand(
    model: str,
    asked: Sequence[Asked],
    replies: Sequence[Reply],
    reference: Sequence[Reply],
    *,
    records_per_document: Decimal,
) -> Standing:
    """Sum up what a model replied to a sample, beside what the reference did."""
    above = prices.long_above(model)
    usage = sum((one.usage.parted(above) for one in replies), Usage())
    times = sorted(one.seconds for one in replies if one.seconds is not None)
    failed = [one.failure for one in replies if one.failure]
    engine = Engine.BATCH if catalog.model(model).batch else Engine.ON_DEMAND
    price = prices.price(model, engine)
    each = price.cost(usage) / len(times) * records_per_document if times else None
    return Standing(
        model=model,
        asked=len(asked),
        answered=len(times),
        valid=sum(bool(one.value) for one in replies) / len(replies),
        agreement=_mean(
            [
                _score(one.value, other.value)
                for one, other in zip(replies, reference, strict=True)
                if other.value
            ]
        ),
        correctness=_mean(
            [_score(one.value, it.known) for one, it in zip(replies, asked, strict=True) if it.known]
        ),
        median_seconds=statistics.median(times) if times else None,
        slowest_seconds=times[-1] if times else None,
        cost_per_document=each,
        paid=prices.price(model, Engine.ON_DEMAND).cost(usage),
        basis=price.basis,
        failures=Counter(one.code for one in failed),
        message=failed[0].message if failed else "",
    )


def choose(standings: Iterable[Standing], quality: float) -> Standing | None:
    """Choose the cheapest model that reaches a quality. None: none does, or none whose price is known."""
    good = [
        one
        for one in standings
        if one.quality is not None and one.quality >= quality and one.basis != "unknown"
    ]
    priced = [(one.cost_per_document, one) for one in good if one.cost_per_document is not None]
    return min(priced, key=lambda pair: pair[0])[1] if priced else None


def _mean(scores: Sequence[float]) -> float | None:
    return statistics.fmean(scores) if scores else None


def _score(value: tuple[Any, ...], wanted: tuple[Any, ...]) -> float:
    return likeness(value[0], wanted[0]) if value else 0.0


def likeness(one: Any, other: Any) -> float:
    """Compare answers: texts by the words that they share (F1), else JSON values field by field.

    Fields are equal or not; what only one of the two has counts as not.
    """
    if isinstance(one, str) and isinstance(other, str):
        return _f1(WORD.findall(one.casefold()), WORD.findall(other.casefold()))
    left, right = dict(_leaves(one, ())), dict(_leaves(other, ()))
    paths = left.keys() | right.keys()
    same = sum(path in left and path in right and left[path] == right[path] for path in paths)
    return same / len(paths)


def _f1(one: Sequence[str], other: Sequence[str]) -> float:
    if not one or not other:
        return float(one == other)
    shared = (Counter(one) & Counter(other)).total()
    return 2 * shared / (len(one) + len(other))


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterable[tuple[tuple[str | int, ...], object]]:
    """Yield every single value with the way to it; an empty object or list is one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*path, number))
    else:
        yield path, _plain(value)


def _plain(value: object) -> object:
    """Make values comparable: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(value, bool):
        return ("bool", value)
    return Decimal(str(value)) if isinstance(value, int | float) else value
