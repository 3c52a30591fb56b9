"""What tokens cost. Prices are dated data; money is Decimal USD and never rounded here.

An entry of `prices.json` says what one kind of work costs with one model in one group of Regions, since
when, who says so and when that was last read. Older entries stay: a job is charged, for ever, what was in
force on the day on which it was opened. What a stack keeps of its own (`adopt`) comes before the data file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cache, cached_property
from typing import Any, Final

from pydantic import ConfigDict, Field, ValidationError, field_validator

from batchline import catalog
from batchline.errors import BatchlineError
from batchline.models import SHORT_PROMPT, Charge, Engine, Frozen, Tier, Usage

FILE: Final = "prices.json"
MILLION: Final = Decimal(1_000_000)
# Of the on-demand price: https://aws.amazon.com/bedrock/pricing/
BATCH_SHARE: Final = Decimal("0.5")
PRIORITY_SHARE: Final = Decimal("1.75")
NEWEST: Final = "9999-12-31"
BASE: Final = "base"
REGIONAL: Final = "regional"


class Kind(StrEnum):
    """What is charged. Cached tokens have a price of input only; `image` is charged by image."""

    ON_DEMAND = "on_demand"
    BATCH = "batch"
    FLEX = "flex"
    PRIORITY = "priority"
    CACHE_READ = "cache_read"
    CACHE_WRITE = "cache_write"
    CACHE_WRITE_1H = "cache_write_1h"
    IMAGE = "image"


# Model, group and kind, and whether it is the price of long prompts.
type Key = tuple[str, str, Kind, bool]


class Entry(Frozen):
    """One price: USD per million tokens, or per image.

    `group`: `base` is the model's own id and its global profile, `regional` every profile of a geography,
    `us`, `eu`, `jp` and so on the profiles of one. `since` is the first day on which the price is known to
    hold; the oldest entry also holds before. `read` is the day on which `source` was last seen to say so.
    A price with `above` is that of requests with a longer prompt than so many tokens, for all their tokens.
    """

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    model: str = Field(min_length=1)
    group: str = Field(min_length=1)
    kind: Kind
    since: date = Field(alias="from")
    read: date
    source: str = Field(min_length=1)
    above: int = Field(default=0, ge=0)
    input: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)
    output: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)

    @field_validator("above")
    @classmethod
    def _is_long(cls, above: int) -> int:
        if 0 < above < SHORT_PROMPT:
            raise ValueError(f"a long prompt has {SHORT_PROMPT:,} tokens or more")
        return above

    @property
    def key(self) -> "Key":
        return self.model, self.group, self.kind, self.above > 0

    @property
    def amounts(self) -> tuple[Decimal, Decimal, int]:
        return self.input, self.output, self.above


class PricesError(BatchlineError):
    """A file of prices cannot be used; the message says where and why. Correct it or write it anew."""


class PriceList(Frozen):
    """Entries of a file, in any order."""

    unit: str = "USD per million tokens; `image`: USD per image"
    entries: tuple[Entry, ...] = ()

    @classmethod
    def load(cls, data: bytes | str, where: str) -> "PriceList":
        """Read a file. Raises PricesError."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the file"
            raise PricesError(
                f"{where} cannot be used: {place}: {first['msg']}. Correct it, write it anew with "
                "`batchline prices refresh`, or delete it."
            ) from error

    def dump(self) -> str:
        """Write a file with one entry on a line, so that a change of one is a change of one line."""
        rows = sorted(self.entries, key=lambda one: (*one.key, one.since))
        lines = ",\n".join(f"    {one.model_dump_json(exclude_defaults=True)}" for one in rows)
        return f'{{\n  "unit": "{self.unit}",\n  "entries": [\n{lines}\n  ]\n}}\n'

    def with_(self, entries: Iterable[Entry]) -> "PriceList":
        """Add entries; one of the same key and day takes the place of what was there."""
        found = {(*one.key, one.since): one for one in (*self.entries, *entries)}
        return PriceList(unit=self.unit, entries=tuple(found.values()))

    @cached_property
    def by_key(self) -> Mapping[Key, tuple[Entry, ...]]:
        """The entries of one price, oldest first."""
        found: dict[Key, list[Entry]] = {}
        for one in sorted(self.entries, key=lambda one: one.since):
            found.setdefault(one.key, []).append(one)
        return {key: tuple(some) for key, some in found.items()}

    def find(
        self, model: str, group: str, kind: Kind, day: str = NEWEST, *, long: bool = False
    ) -> Entry | None:
        """Find the entry in force on a day (ISO), that of long prompts if asked for."""
        return self.at((model, group, kind, long), day)

    def at(self, key: Key, day: str = NEWEST) -> Entry | None:
        """Find the entry of a key in force on a day (ISO)."""
        known = self.by_key.get(key, ())
        in_force = [one for one in known if one.since.isoformat() <= day]
        return in_force[-1] if in_force else known[0] if known else None

    def in_force(self, day: str = NEWEST) -> list[Entry]:
        """List what is in force on a day, by model, group and kind."""
        found = (self.at(key, day) for key in sorted(self.by_key))
        return [one for one in found if one]


class Price(Frozen):
    """USD per million tokens. `basis`: `list`, `unknown`, or what is taken where no price is published.

    That is `half` of the price on demand for a batch, and `premium`, 1.75 times it, for priority.
    Reading from a prompt cache and writing to one cost as much as input where nobody says what they cost.
    `long` is the price of requests with a prompt of more tokens than its `above`, where they cost more.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    basis: str
    above: int = 0
    long: "Price | None" = None

    def cost(self, usage: Usage) -> Decimal:
        """Price the tokens, in USD; those of reasoning are among the output's."""
        whole = self._plain(usage)
        if self.long is None:
            return whole
        return whole + self.long._plain(usage.long) - self._plain(usage.long)  # noqa: SLF001 - it is one too

    def _plain(self, usage: Usage) -> Decimal:
        return (
            self.input * usage.input_tokens
            + self.output * usage.output_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write * usage.cache_write_tokens
        ) / MILLION


NOTHING: Final = Decimal(0)
GUESSED: Final = frozenset({"half", "premium"})
UNKNOWN: Final = Price(
    input=NOTHING, output=NOTHING, cache_read=NOTHING, cache_write=NOTHING, basis="unknown"
)
_own: list[PriceList] = [PriceList()]


def adopt(own: PriceList) -> None:
    """Let a stack's own prices come before the data file, from now on and in this process."""
    if own != _own[0]:
        _own[0] = own
        current.cache_clear()
        _price.cache_clear()


@cache
def packaged() -> PriceList:
    """Read the data file."""
    return PriceList.model_validate(catalog.load(FILE))


@cache
def current() -> PriceList:
    """Name the prices this process goes by: the data file, and before it what was adopted."""
    return packaged().with_(_own[0].entries)


def price(model_id: str, engine: Engine, tier: Tier = Tier.DEFAULT, at: str = NEWEST) -> Price:
    """Look up what a model charges on an engine, on a day or time (ISO).

    An unknown model costs 0 with basis `unknown`.
    """
    kind = Kind.BATCH if engine is Engine.BATCH else Kind.ON_DEMAND
    if engine is Engine.ON_DEMAND and tier is not Tier.DEFAULT:
        kind = Kind(tier)
    return _price(catalog.base_id(model_id), catalog.place(model_id), kind, at[:10])


@cache
def _price(model: str, place: str, kind: Kind, day: str) -> Price:
    short = _found(model, place, kind, day, long=False)
    return short.model_copy(update={"long": _found(model, place, kind, day, long=True)}) if short else UNKNOWN


def _found(model: str, place: str, kind: Kind, day: str, *, long: bool) -> Price | None:
    known = current()
    for group in groups(place):
        # Flex costs what batch costs.
        for named in (kind, Kind.BATCH) if kind is Kind.FLEX else (kind,):
            if found := known.find(model, group, named, day, long=long):
                return _whole(found, place, day)
        if listed := known.find(model, group, Kind.ON_DEMAND, day, long=long):
            share, basis = (PRIORITY_SHARE, "premium") if kind is Kind.PRIORITY else (BATCH_SHARE, "half")
            part = {"input": listed.input * share, "output": listed.output * share}
            return _whole(listed.model_copy(update=part), place, day, basis)
    return None


def _whole(found: Entry, place: str, day: str, basis: str = "list") -> Price:
    """Put the prices of cached tokens, which are the same for every engine, beside a pair."""
    keys = [
        [(found.model, group, kind, found.above > 0) for group in groups(place)]
        for kind in (Kind.CACHE_READ, Kind.CACHE_WRITE)
    ]
    read, written = (
        next((one.input for key in some if (one := current().at(key, day))), found.input) for some in keys
    )
    return Price(
        input=found.input,
        output=found.output,
        cache_read=read,
        cache_write=written,
        basis=basis,
        above=found.above,
    )


def long_above(model_id: str, at: str = NEWEST) -> int | None:
    """Say above how many tokens a prompt is a long one, whoever is asked. None: all cost the same.

    Should only batches have a price of long prompts, theirs tells; else that on demand does.
    """
    found = (price(model_id, engine, at=at).long for engine in (Engine.ON_DEMAND, Engine.BATCH))
    return next((one.above for one in found if one), None)


def groups(place: str) -> tuple[str, ...]:
    """Name the groups that a geography's profile belongs to, the closest first; `` is a model's own id."""
    if not place:
        return (BASE,)
    name = place.rstrip(".")
    return (name, BASE) if name == "global" else (name, REGIONAL, BASE)


def charge(
    usage: Usage, model_id: str, engine: Engine, tier: Tier = Tier.DEFAULT, at: str = NEWEST
) -> Charge:
    """Say what the tokens cost on an engine and what that saves against on demand."""
    paid = price(model_id, engine, tier, at).cost(usage)
    return Charge(paid, price(model_id, Engine.ON_DEMAND, at=at).cost(usage) - paid)


# keeping the file


@dataclass(frozen=True, slots=True)
class Finding:
    """What is odd about a price: `old`, `differs` from what a source says, or `missing` here."""

    what: str
    entry: Entry
    said: Entry | None = None

    def told(self) -> dict[str, Any]:
        """Say both sides as plain values."""
        ours = None if self.what == "missing" else self.entry
        theirs = self.entry if self.what == "missing" else self.said
        return {
            "what": self.what,
            "model": self.entry.model,
            "group": self.entry.group,
            "kind": self.entry.kind,
            "ours": _json(ours),
            "theirs": _json(theirs),
        }


def _json(entry: Entry | None) -> dict[str, Any] | None:
    return (
        entry.model_dump(mode="json", include={"input", "output", "above", "source", "read"})
        if entry
        else None
    )


def renewed(known: PriceList, found: Iterable[Entry]) -> list[Entry]:
    """Say which entries change by what a source says now.

    The same price is read anew; another one is in force from the day on which it was read, or from the day
    that the source gives for it, and the older one stays. What the source does not name stays as it is.
    """
    changed = []
    for one in found:
        ours = known.at(one.key)
        if ours and ours.amounts == one.amounts:
            changed.append(ours.model_copy(update={"read": one.read, "source": one.source}))
        elif ours is None or ours.since <= one.since:
            changed.append(one)
        else:
            changed.append(one.model_copy(update={"since": one.read}))
    return changed


def old(known: PriceList, today: date, *, days: int) -> list[Finding]:
    """Find what nobody has read for more than so many days; what Bedrock has retired stays as it is."""
    return [
        Finding(what="old", entry=one)
        for one in known.in_force(today.isoformat())
        if (today - one.read).days > days and not retired(one.model, today)
    ]


def differing(known: PriceList, found: Iterable[Entry], today: date) -> list[Finding]:
    """Find where a source says another price than we do, or a price of a model of ours that we lack."""
    findings = []
    for one in found:
        ours = {
            entry.group: entry
            for key in known.by_key
            if (key[0], *key[2:]) == (one.key[0], *one.key[2:])
            if (entry := known.at(key, today.isoformat()))
        }
        # Sources group Regions each in its own way: what is said of one group may stand under another.
        alike = {one.group, BASE, "global"} if one.group in {BASE, REGIONAL} else {one.group, REGIONAL, BASE}
        if any(group in alike and entry.amounts == one.amounts for group, entry in ours.items()):
            continue
        if one.group in ours:
            findings.append(Finding("differs", ours[one.group], one))
        elif not (one.group == REGIONAL and set(ours) - {BASE, "global"}) and catalog.model(one.model).known:
            findings.append(Finding("missing", one))
    return findings


def retired(model: str, today: date) -> bool:
    """Tell whether Bedrock has a model no more; of one that the catalog does not name it is assumed."""
    found = catalog.model(model)
    return not found.known or bool(found.retires and found.retires <= today)
