"""What tokens cost. Prices are dated data; money is Decimal USD and never rounded here."""

from decimal import Decimal
from functools import cache

from batchline import catalog
from batchline.models import Charge, Engine, Frozen, Tier, Usage

MILLION = Decimal(1_000_000)


class Price(Frozen):
    """USD per million tokens. `basis`: `list`, `half` (no batch price published) or `unknown`."""

    input: Decimal
    output: Decimal
    basis: str

    def cost(self, usage: Usage) -> Decimal:
        """Price the tokens, in USD."""
        return (self.input * usage.input_tokens + self.output * usage.output_tokens) / MILLION


@cache
def price(model_id: str, engine: Engine, tier: Tier = Tier.DEFAULT) -> Price:
    """Look up what a model charges on an engine. An unknown model costs 0 with basis `unknown`."""
    data = catalog.load("prices.json")
    name = model_id.rsplit("/", 1)[-1]
    base = catalog.base_id(model_id)
    factor = Decimal(1)
    if (entry := data["models"].get(name)) is None:
        entry = data["models"].get(base)
        if name != base and not name.startswith("global."):
            factor = Decimal(data["regional_factor"].get(base, "1"))
    if entry is None:
        return Price(input=Decimal(0), output=Decimal(0), basis="unknown")
    if engine is Engine.ON_DEMAND and tier is Tier.DEFAULT:
        pair, basis, share = entry["on_demand"], "list", Decimal(1)
    elif "batch" in entry:  # flex costs what batch costs
        pair, basis, share = entry["batch"], "list", Decimal(1)
    else:
        pair, basis, share = entry["on_demand"], "half", Decimal(data["batch_share"])
    return Price(
        input=Decimal(pair[0]) * factor * share,
        output=Decimal(pair[1]) * factor * share,
        basis=basis,
    )


def charge(usage: Usage, model_id: str, engine: Engine, tier: Tier = Tier.DEFAULT) -> Charge:
    """Say what the tokens cost on an engine and what that saves against on demand."""
    paid = price(model_id, engine, tier).cost(usage)
    return Charge(paid, price(model_id, Engine.ON_DEMAND).cost(usage) - paid)
