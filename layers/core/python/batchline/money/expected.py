"""Expected: how long answers will be, and what records will cost then.

Nobody knows an answer's length before it is there. It is taken from what earlier documents of the pipeline
were answered; where there are none, from `max_tokens`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from batchline import catalog
from batchline.models import Engine, Usage
from batchline.money import prices
from batchline.pipelines import Pipeline

# Of max_tokens an answer is taken to have this part, where no earlier answer tells better.
ANSWER_SHARE: Final = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier documents of a pipeline were answered."""

    documents: int
    records: int
    output_tokens: int

    @classmethod
    def of(cls, documents: Iterable[tuple[int, int, int]]) -> "Earlier | None":
        """Add up documents: their answers, those from the cache, and tokens of output. None: no document.

        An answer from the cache has had no tokens where it was used again.
        """
        listed = list(documents)
        if not listed:
            return None
        answered = sum(answers - cached for answers, cached, _ in listed)
        return cls(len(listed), answered, sum(tokens for _, _, tokens in listed))


@dataclass(frozen=True, slots=True)
class Answers:
    """The tokens of an answer: as many as `expected`, at `most`, and what the expectation rests on."""

    expected: Decimal
    most: int
    basis: str

    @property
    def longest(self) -> "Answers":
        """Take all answers to be as long as they may be."""
        return replace(self, expected=Decimal(self.most))

    def usage(
        self, records: int, input_tokens: int, lengths: Iterable[int] = (), *, above: int | None = None
    ) -> Usage:
        """Say what records will take; a prompt of more tokens than `above` is a long one.

        `lengths` are the tokens of those prompts that may be long.
        """
        long = [one for one in lengths if above is not None and one > above]
        return Usage(
            input_tokens,
            round(records * self.expected),
            long_input_tokens=sum(long),
            long_output_tokens=round(len(long) * self.expected),
        )


def answers(pipeline: Pipeline, earlier: Earlier | None = None) -> Answers:
    """Say how long the answers to a pipeline's records will be."""
    most = pipeline.answer_tokens
    if not most:
        return Answers(Decimal(0), 0, "a vector has no tokens")
    if earlier and earlier.records:
        mean = Decimal(earlier.output_tokens) / earlier.records
        basis = f"what {earlier.records:,} records of {earlier.documents:,} earlier documents were answered"
        return Answers(min(mean, Decimal(most)), most, basis)
    basis = f"a guess: {ANSWER_SHARE:.0%} of max_tokens, for no earlier answer is known"
    return Answers(ANSWER_SHARE * most, most, basis)


def usd(usage: Usage, model: str) -> Decimal:
    """Price tokens as a batch where the model has one, else on demand."""
    engine = Engine.BATCH if catalog.model(model).batch else Engine.ON_DEMAND
    return prices.price(model, engine).cost(usage)
