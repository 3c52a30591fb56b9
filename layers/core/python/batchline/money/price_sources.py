"""What others say of Bedrock's prices, read into entries: AWS's price lists and two maintained packages.

Everything here is pure: it is given what was fetched. What is not understood is passed over, because a
price is worth nothing when it is not sure what it is for; `batchline prices check` shows what is missing.

AWS's price lists      https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
litellm (MIT)          its price file holds batch and flex prices by model and profile
genai-prices (MIT)     prices on demand, some with the day from which on they hold, also of retired models
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Context, Decimal
from typing import Any, Final

from batchline import catalog
from batchline.errors import BatchlineError
from batchline.models import Frozen
from batchline.money.prices import BASE, MILLION, REGIONAL, Entry, Kind

type Cell = tuple[Decimal, Decimal]
# By kind, and by how many tokens a prompt must have more than; 0 is for all that have no price of their own.
type Cells = dict[tuple[Kind, int], Cell]

# Prices are written as floats of USD per token; their last digits are noise.
DIGITS: Final = Context(prec=10)
NOTHING: Final = Decimal(0)
CACHED: Final = frozenset({Kind.CACHE_READ, Kind.CACHE_WRITE, Kind.CACHE_WRITE_1H})
_MODEL_ID: Final = re.compile(r"[a-z0-9]+\.[A-Za-z0-9.:-]+")


class SourceError(BatchlineError):
    """What was fetched is not what a source of prices looks like; the message says what is amiss."""


# litellm

_PAIRS: Final = {
    Kind.ON_DEMAND: ("input_cost_per_token", "output_cost_per_token"),
    Kind.BATCH: ("input_cost_per_token_batches", "output_cost_per_token_batches"),
    Kind.FLEX: ("input_cost_per_token_flex", "output_cost_per_token_flex"),
    Kind.PRIORITY: ("input_cost_per_token_priority", "output_cost_per_token_priority"),
    Kind.CACHE_READ: ("cache_read_input_token_cost", ""),
    Kind.CACHE_WRITE: ("cache_creation_input_token_cost", ""),
    Kind.CACHE_WRITE_1H: ("cache_creation_input_token_cost_above_1hr", ""),
}
# As `input_cost_per_token_above_200k_tokens_batches`.
_LONG: Final = re.compile(r"(?P<start>.+)_above_(?P<thousands>\d+)k_tokens(?P<end>.*)")
_IMAGES: Final = ("input_cost_per_image", "output_cost_per_image")
_LITELLM_PROVIDERS: Final = frozenset({"bedrock", "bedrock_converse"})


def litellm(data: bytes, version: str, today: date) -> list[Entry]:
    """Read litellm's `model_prices_and_context_window_backup.json`. Raises SourceError."""
    try:
        # As Decimals, so that no digit is lost on the way.
        listed = json.loads(data, parse_float=Decimal)
        found = {
            name: cells
            for name, fields in listed.items()
            if fields.get("litellm_provider") in _LITELLM_PROVIDERS and _is_model(name)
            if (cells := _litellm_cells(fields))
        }
    except (ValueError, AttributeError) as error:
        raise SourceError(f"litellm {version}: its price file is not what it was: {error}.") from error
    return _entries(_by_group(found), f"litellm {version}", today)


def _is_model(name: str) -> bool:
    """Tell a model's or profile's id from the keys of single Regions and sizes of images."""
    return bool(_MODEL_ID.fullmatch(name.removeprefix(catalog.geography(name))))


def _litellm_cells(fields: Mapping[str, Any]) -> Cells:
    cells = {
        (kind, above): (_per_million(some.get(read)), _per_million(some.get(written)))
        for above, named in _by_length(fields).items()
        # Of a long prompt, what has no price of its own costs what it costs of a short one.
        for some in [{**fields, **named}]
        for kind, (read, written) in _PAIRS.items()
        if read in some and (read in named or written in named)
    }
    if any(one in fields for one in _IMAGES):
        cells[Kind.IMAGE, 0] = (_exact(fields.get(_IMAGES[0])), _exact(fields.get(_IMAGES[1])))
    return {what: pair for what, pair in cells.items() if any(pair)}


def _by_length(fields: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Part fields by how long a prompt must be, under the names that they have without it.

    No model of Bedrock's has more than two lengths; of one that had, the first long one would count.
    """
    found: dict[int, dict[str, Any]] = {0: {}}
    for name, value in fields.items():
        cut = _LONG.fullmatch(name)
        above = int(cut["thousands"]) * 1_000 if cut else 0
        found.setdefault(above, {})[cut["start"] + cut["end"] if cut else name] = value
    return {above: found[above] for above in sorted(found)[:2]}


def _exact(value: Any) -> Decimal:
    return DIGITS.create_decimal(value or 0)


def _per_million(value: Any) -> Decimal:
    return DIGITS.create_decimal(_exact(value) * MILLION)


def _by_group(found: Mapping[str, Cells]) -> Iterator[tuple[str, str, Cells]]:
    """Say what holds in which group, each price once: a geography that costs what all cost needs no entry."""
    models: dict[str, dict[str, Cells]] = {}
    for name, cells in found.items():
        place = catalog.geography(name)
        models.setdefault(name.removeprefix(place), {})[place.rstrip(".")] = cells
    for model, places in sorted(models.items()):
        base = places.pop("", None) or places.get("global")
        if base is None and len({str(one) for one in places.values()}) == 1:
            base = next(iter(places.values()))
        if base is not None:
            yield model, BASE, base
        differ = {place: dict(cells) for place, cells in sorted(places.items()) if cells != base}
        geographies = [cells for place, cells in places.items() if place not in {"global", "us-gov"}]
        if shared := _shared(geographies, base):
            yield model, REGIONAL, shared
            for cells in differ.values():
                for kind, pair in shared.items():
                    if cells.get(kind) == pair:
                        del cells[kind]
        for place, cells in differ.items():
            yield model, place, cells


def _shared(places: list[Cells], base: Cells | None) -> Cells:
    """Find what all geographies charge alike, when none charges what the model's own id does."""
    if len(places) < 2 or base in places:  # noqa: PLR2004 - one alone shares nothing
        return {}
    pairs: dict[tuple[Kind, int], set[Cell]] = {}
    for one in places:
        for what, pair in one.items():
            pairs.setdefault(what, set()).add(pair)
    if len(pairs.get((Kind.ON_DEMAND, 0), ())) > 1:
        return {}
    return {what: next(iter(found)) for what, found in pairs.items() if len(found) == 1}


def _entries(found: Iterable[tuple[str, str, Cells]], source: str, today: date) -> list[Entry]:
    return [
        _entry(model, group, what, pair, source, today)
        for model, group, cells in found
        for what, pair in cells.items()
    ]


def _entry(
    model: str,
    group: str,
    what: tuple[Kind, int],
    pair: Cell,
    source: str,
    today: date,
    since: date | None = None,
) -> Entry:
    return Entry(
        model=model,
        group=group,
        kind=what[0],
        since=since or today,
        read=today,
        source=source,
        above=what[1],
        input=_plain(pair[0]),
        output=_plain(pair[1]),
    )


def _plain(amount: Decimal) -> Decimal:
    """Write 1E+1 as 10 and 0.500 as 0.5."""
    return Decimal(format(amount.normalize(), "f"))


# genai-prices

_GENAI: Final = {
    Kind.ON_DEMAND: ("input_mtok", "output_mtok"),
    Kind.CACHE_READ: ("cache_read_mtok", ""),
    Kind.CACHE_WRITE: ("cache_write_mtok", ""),
    Kind.CACHE_WRITE_1H: ("cache_write_1h_mtok", ""),
}
_STEM: Final = re.compile(r"(-\d{8})?(-v\d+)?(:\d+)?$")


def genai_prices(source: str, version: str, today: date) -> list[Entry]:
    """Read genai-prices' `data.py`, which is read as data and not run. Raises SourceError.

    It writes some ids in a form of its own; they are brought to the catalog's.
    """
    try:
        providers = _literal(_providers(ast.parse(source)))
        models = next(one["models"] for one in providers if one["id"] == "aws")
        priced = {one["id"]: list(_dated(one["prices"])) for one in models}
    except (ValueError, SyntaxError, KeyError, TypeError, StopIteration) as error:
        raise SourceError(f"genai-prices {version}: its data is not what it was: {error!r}.") from error
    found = []
    for name, rows in priced.items():
        group = REGIONAL if name.startswith("regional.") else BASE
        plain = name.removeprefix("regional.").removeprefix("global.")
        if group == REGIONAL and not {plain, f"global.{plain}"} & priced.keys():
            group = BASE  # it has one price everywhere
        model = _known_id(plain)
        for since, cells in rows:
            for what, pair in cells.items():
                found.append(_entry(model, group, what, pair, f"genai-prices {version}", today, since))
    return _newest(found)


def _newest(found: Iterable[Entry]) -> list[Entry]:
    """Keep what is in force on the day of reading."""
    kept: dict[Any, Entry] = {}
    for one in sorted(found, key=lambda one: (one.since != one.read, one.since)):
        if one.since <= one.read:
            kept[one.key] = one
    return list(kept.values())


def _providers(tree: ast.Module) -> ast.expr:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "providers" and node.value:
            return node.value
    raise ValueError("it has no list `providers`")


def _literal(node: ast.expr) -> Any:
    """Read an expression of plain values; a call of `Name(key=…)` is a mapping, of `Name(x)` its value."""
    if isinstance(node, ast.List):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.Call):
        if node.keywords:
            return {one.arg: _literal(one.value) for one in node.keywords}
        values = [_literal(one) for one in node.args]
        called = ast.unparse(node.func)
        if called == "Decimal":
            return Decimal(values[0])
        return date(*values) if called.endswith("date") else values
    if isinstance(node, ast.Constant):
        return node.value
    return None  # a rule for matching names, which says nothing of prices


def _dated(prices: Any) -> Iterator[tuple[date | None, Cells]]:
    """Yield prices with the day from which on they hold; None: nobody says."""
    for one in prices if isinstance(prices, list) else [{"prices": prices}]:
        limits = one.get("constraint") or {}
        if set(limits) <= {"start_date"}:  # others hold for some hours of a day only
            cells = {
                (kind, 0): (_base(one["prices"].get(read)), _base(one["prices"].get(written)))
                for kind, (read, written) in _GENAI.items()
            }
            yield limits.get("start_date"), {what: pair for what, pair in cells.items() if any(pair)}


def _base(price: Any) -> Decimal:
    """Take a price, or that of short prompts where long ones cost more: litellm tells those."""
    found = price["base"] if isinstance(price, dict) else price
    return found if isinstance(found, Decimal) else NOTHING


def _known_id(name: str) -> str:
    known = catalog.known_models()
    if name in known:
        return name
    stem = _STEM.sub("", name)
    alike = [one for one in known if _STEM.sub("", one) == stem]
    return alike[0] if len(alike) == 1 else name


# AWS's price lists

_FIRST_PARTY: Final = re.compile(
    r"(?:[A-Z]+\d*-)?(?P<model>.+?)-(?P<what>input-tokens|output-tokens|cache-read-input-token-count|"
    r"cache-write-input-token-count)(?P<rest>(?:-(?:cross-region-global|batch|flex|priority))*)"
)
_MARKETPLACE: Final = re.compile(
    r"(?:[A-Z]+\d*-)?MP:[A-Z]+\d*_(?P<what>InputTokenCount|OutputTokenCount|CacheReadInputTokenCount|"
    r"CacheWriteInputTokenCount|CacheWrite1hInputTokenCount)"
    r"(?P<rest>(?:_(?:Global|Batch|Flex|Priority))*)-Units"
)
_WHAT: Final = {
    "input-tokens": ("input", None),
    "output-tokens": ("output", None),
    "cache-read-input-token-count": ("input", Kind.CACHE_READ),
    "cache-write-input-token-count": ("input", Kind.CACHE_WRITE),
    "InputTokenCount": ("input", None),
    "OutputTokenCount": ("output", None),
    "CacheReadInputTokenCount": ("input", Kind.CACHE_READ),
    "CacheWriteInputTokenCount": ("input", Kind.CACHE_WRITE),
    "CacheWrite1hInputTokenCount": ("input", Kind.CACHE_WRITE_1H),
}
_UNITS: Final = {"1k tokens": Decimal(1_000), "1m tokens": Decimal(1)}
_EDITION: Final = re.compile(r" \(amazon bedrock edition\)$")
_MAKER: Final = re.compile(r"^(amazon|anthropic|meta|mistral ai|cohere|ai21 labs|openai) ")
# Names of price lists that are no name of the catalog.
_ALIASES: Final = {
    "titanembeddingv2text": "amazon.titan-embed-text-v2:0",
    "titanembeddingsv2text": "amazon.titan-embed-text-v2:0",
    "titantextembeddingsv2": "amazon.titan-embed-text-v2:0",
}


class Usage(Frozen):
    """What a usage type charges for. `everywhere`: through the global profile."""

    name: str
    direction: str
    kind: Kind
    everywhere: bool


def usage(usagetype: str) -> Usage | None:
    """Read a usage type, as `USE1-NovaMicro-input-tokens-batch`. None: it is about something else."""
    found = _FIRST_PARTY.fullmatch(usagetype) or _MARKETPLACE.fullmatch(usagetype)
    if not found:
        return None
    direction, cached = _WHAT[found["what"]]
    words = {one for one in re.split(r"[-_]", found["rest"].lower()) if one}
    tier = words & {"batch", "flex", "priority"}
    if len(tier) > 1 or (tier and cached):
        return None  # nothing of ours charges cached tokens of a batch
    return Usage(
        name=found.groupdict().get("model") or "",
        direction=direction,
        kind=cached or (Kind(tier.pop()) if tier else Kind.ON_DEMAND),
        everywhere="global" in words,
    )


def aws(offers: Iterable[Mapping[str, Any]], region: str, today: date) -> list[Entry]:
    """Read offer files of one Region. Raises SourceError when they name no price that is understood.

    Where a model has a global price, the others are those of the Region's geography.
    """
    ids = {_plain_name(catalog.model(one).name): one for one in catalog.known_models()} | _ALIASES
    found: dict[tuple[str, bool], dict[Kind, dict[str, Decimal]]] = {}
    for offer in offers:
        for attributes, amount in _amounts(offer):
            said = usage(attributes.get("usagetype", ""))
            model = said and _model(said, attributes, ids)
            if said and model:
                cells = found.setdefault((model, said.everywhere), {})
                cells.setdefault(said.kind, {})[said.direction] = amount
    if not found:
        raise SourceError(f"AWS's price lists of {region} name no price of a model that Batchline knows.")
    return [
        entry
        for (model, everywhere), cells in sorted(found.items())
        for entry in _entries(
            [(model, _group(model, found, region, everywhere=everywhere), _pairs(model, cells))],
            f"AWS Price List {region}",
            today,
        )
    ]


def _pairs(model: str, cells: Mapping[Kind, Mapping[str, Decimal]]) -> Cells:
    """Bring both directions together; half of a pair of tokens is no price."""
    whole = {kind: (one.get("input"), one.get("output")) for kind, one in cells.items()}
    embeds = catalog.model(model).embeds
    return {
        (kind, 0): (read or NOTHING, written or NOTHING)
        for kind, (read, written) in whole.items()
        if read is not None and (written is not None or embeds or kind in CACHED)
    }


def _group(model: str, found: Iterable[tuple[str, bool]], region: str, *, everywhere: bool) -> str:
    if everywhere or (model, True) not in found:
        return BASE
    start = region.partition("-")[0]
    own = {"ap-northeast-1": "jp", "ap-northeast-3": "jp", "ap-southeast-2": "au", "ap-southeast-4": "au"}
    gov = "us-gov" if region.startswith("us-gov-") else start
    return own.get(region) or ("apac" if start == "ap" else gov)


def _amounts(offer: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, str], Decimal]]:
    """Yield the attributes of each product with its price in USD per million tokens."""
    terms = offer.get("terms", {}).get("OnDemand", {})
    for sku, product in offer.get("products", {}).items():
        for term in terms.get(sku, {}).values():
            for one in term["priceDimensions"].values():
                factor = _UNITS.get(one["unit"].lower())
                if factor and "USD" in one["pricePerUnit"]:
                    yield product["attributes"], Decimal(one["pricePerUnit"]["USD"]) * factor


def _model(said: Usage, attributes: Mapping[str, str], ids: Mapping[str, str]) -> str | None:
    names = (attributes.get("model", ""), attributes.get("servicename", ""), said.name)
    return next((ids[plain] for one in names if (plain := _plain_name(one)) in ids), None)


def _plain_name(name: str) -> str:
    """Bring a model's name into a form that is the same wherever AWS writes it."""
    plain = _MAKER.sub("", _EDITION.sub("", name.lower()))
    return re.sub(r"[^a-z0-9.]", "", plain).replace("2.0", "2").removesuffix("instruct")
