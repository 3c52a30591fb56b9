"""`batchline models`: which models there are, what they cost, and what an id or ARN leads to."""

from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from batchline import catalog, clock
from batchline.aws import account
from batchline.catalog import APPLICATION_PROFILE, NO_ACCOUNT, Account, Model
from batchline.cli import tables
from batchline.cli.session import Session, session
from batchline.cli.tables import Column
from batchline.models import Engine, Tier
from batchline.money.prices import Price, price

COLUMNS: Final = (
    Column("model", least=20),
    Column("context", "right", drop=1),
    Column("answer", "right", drop=2),
    Column("on demand\nUSD in/out", "right"),
    Column("flex\nUSD in/out", "right", drop=4),
    Column("batch\nUSD in/out", "right"),
    Column("kind", drop=3),
    Column("", drop=5),
)


def models(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[ID or ARN]", help="Explain this one.", show_default=False)
    ] = None,
) -> None:
    """List Bedrock's models with their prices in USD per million tokens, or explain one id or ARN."""
    run = session(context)
    if model:
        _explain(run, model)
        return
    names = catalog.known_models()
    if run.as_json:
        run.write_json({"models": [_json(name) for name in names]})
        return
    run.console.print(tables.table(COLUMNS, [_row(name) for name in names], width=run.width))
    run.note("\nUSD per million tokens. Any other id of Bedrock works too, with careful defaults.")


def _explain(run: Session, model_id: str) -> None:
    if APPLICATION_PROFILE.fullmatch(model_id):
        behind = account.Source.connect().profile(model_id)
        profiles = {model_id.rsplit("/", 1)[-1]: behind}
        catalog.adopt(Account(source=NO_ACCOUNT.source, read_at=NO_ACCOUNT.read_at, profiles=profiles))
    found = _json(model_id)
    if run.as_json:
        run.write_json(found)
        return
    fields = tables.fields()
    for name, value in found.items():
        if name not in {"notes", "limits"} and value not in (None, []):
            fields.add_row(name.replace("_", " "), _said(value))
    for name, value in found["limits"].items():
        fields.add_row(name.replace("_", " "), _said(value))
    run.console.print(fields)
    for note in found["notes"]:
        run.console.print(f"\n{note}")


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_said(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not known"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _json(model_id: str) -> dict[str, Any]:
    found = catalog.model(model_id)
    name = model_id.rsplit("/", 1)[-1]
    return {
        "id": model_id,
        "model": found.base_id,
        "name": found.name or None,
        "known": found.known,
        "geography": catalog.geography(name).rstrip(".") or None,
        "profiles": list(found.profiles),
        "asked_by": found.invocation_type,
        "context": found.context,
        "max_output": found.max_output,
        "dimensions": list(found.dimensions),
        "batch": found.batch,
        "flex": found.flex,
        "priority": found.priority,
        "structured_output": found.structured_output,
        "vision": found.vision,
        "parameters": list(found.parameters),
        "one_of": list(found.one_of),
        "retires": found.retires.isoformat() if found.retires else None,
        "price": {name: _price(one) for name, one in _prices(model_id, found).items()},
        "limits": catalog.limits(model_id).model_dump(),
        "notes": catalog.notes(model_id, clock.now().date()),
    }


def _prices(model_id: str, found: Model) -> dict[str, Price]:
    """Price what the model can be asked by."""
    prices = {"on_demand": price(model_id, Engine.ON_DEMAND)}
    if found.flex:
        prices["flex"] = price(model_id, Engine.ON_DEMAND, Tier.FLEX)
    if found.priority:
        prices["priority"] = price(model_id, Engine.ON_DEMAND, Tier.PRIORITY)
    if found.batch:
        prices["batch"] = price(model_id, Engine.BATCH)
    return prices


def _price(one: Price) -> dict[str, Any]:
    return {"input": one.input, "output": one.output, "basis": one.basis}


def _row(name: str) -> tuple[str, ...]:
    found = catalog.model(name)
    prices = _prices(name, found)
    shown = [_pair(prices[kind]) if kind in prices else "–" for kind in ("on_demand", "flex", "batch")]
    kind = f"vectors of {found.dimensions[0]:,}" if found.embeds else "sees" if found.vision else "text"
    retires = f"until {found.retires}" if found.retires else ""
    answer = f"{found.max_output:,}" if found.max_output else "–"
    return (name, f"{found.context:,}", answer, *shown, kind, retires)


def _pair(one: Price) -> str:
    return "unknown" if one.basis == "unknown" else f"{_plain(one.input)}/{_plain(one.output)}"


def _plain(amount: Decimal) -> str:
    return format(amount.normalize(), "f") if amount else "0"
