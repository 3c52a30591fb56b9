"""What records may cost at most, which documents are approved, and how a hold is said."""

from decimal import Decimal
from typing import Any

import pytest
from batchline import pack
from batchline.cancel import Cancels
from batchline.errors import Code
from batchline.models import Engine, Range, Tier, Usage
from batchline.money import budgets, prices
from batchline.money.approvals import Approvals
from batchline.money.budgets import BEYOND, STACK, Lack, Scope
from batchline.pipelines import Pipeline
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_pack import lane, one_usd, plan_lanes, rests, shard

NOVA = "us.amazon.nova-lite-v1:0"
HAIKU_5 = "global.anthropic.claude-haiku-5-5"  # prompts above 100,000 tokens cost five times as much
ASKED = Usage(100, 1_000)


def pipeline(**keys: Any) -> Pipeline:
    return Pipeline.model_validate({"model": NOVA, "prompt": "{{ text }}"} | keys)


def test_a_bound_adds_what_the_estimate_may_be_low_by() -> None:
    # 100 in may be 324; in a batch at 0.03 and 0.12 USD a million: 0.00000972 + 0.00012.
    assert budgets.bound(ASKED, NOVA, Engine.BATCH) == Decimal("0.00012972")
    # Claude Haiku 4.5: 150 in at 0.55 and 1,000 out at 2.75 through a geography's profile.
    haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert budgets.bound(ASKED, haiku, Engine.BATCH) == Decimal("0.0028325")


def test_a_bound_counts_the_price_of_long_prompts_when_one_may_be_long() -> None:
    usage = Usage(2_000_000, 1_000)

    def most(longest: int | None) -> Decimal:
        return budgets.bound(usage, HAIKU_5, Engine.ON_DEMAND, longest=longest)

    # The weights may be low by 20 %, so 83,334 may be 100,001. 2,400,000 in and 1,000 out, at 0.1 and 0.5
    # USD a million: 0.24 + 0.0005; at 0.5 and 2.5: 1.2 + 0.0025.
    assert [most(longest) for longest in (0, 83_333)] == [Decimal("0.2405")] * 2
    assert [most(longest) for longest in (83_334, None)] == [Decimal("1.2025")] * 2
    # One record, which is its own longest: 120 in, 1,000 out.
    assert budgets.bound(ASKED, HAIKU_5, Engine.ON_DEMAND) == Decimal("0.000512")
    said = pipeline(model=HAIKU_5)
    assert budgets.dearest(usage, said, HAIKU_5, longest=83_334) == Decimal("1.2025")


@given(st.lists(st.tuples(st.integers(1, 200_000), st.integers(0, 50)), min_size=1, max_size=9))
def test_no_records_cost_more_than_their_bound(answered: list[tuple[int, int]]) -> None:
    # The weights were as low as they may be: told * 1.2 tokens were read.
    told = [-(-read * 5 // 6) for read, _ in answered]
    above = prices.long_above(HAIKU_5)
    charged = sum((Usage(*one).parted(above) for one in answered), Usage())
    usage, longest = Usage(sum(told), 50 * len(answered)), max(told)
    for waiting in (
        shard(1, len(answered), model=HAIKU_5, input_tokens=usage.input_tokens, longest=longest),
        shard(1, len(answered), model=HAIKU_5, input_tokens=usage.input_tokens),
    ):
        one = waiting.model_copy(update={"output_tokens": usage.output_tokens})
        cost = prices.charge(charged, HAIKU_5, Engine.ON_DEMAND).cost_usd
        assert cost <= pack.most(one, Engine.ON_DEMAND, Tier.DEFAULT)


@pytest.mark.parametrize(
    ("keys", "most"),
    [
        ({}, "0.00025944"),  # a tail may go on demand, at twice the price
        ({"too_few": "wait"}, "0.00012972"),
        ({"too_few": "flex"}, "0.00012972"),
        ({"too_few": "wait", "deadline": "6h"}, "0.00025944"),
    ],
)
def test_a_document_counts_the_dearest_way_in_which_it_may_be_asked(keys: dict[str, Any], most: str) -> None:
    assert budgets.dearest(ASKED, pipeline(**keys), NOVA) == Decimal(most)


def test_a_document_is_covered_to_the_last_cent_and_never_without_a_price() -> None:
    limited = pipeline(budget={"per_document_usd": 0.5})
    assert budgets.covers(pipeline(), Decimal(10**9))
    assert budgets.covers(limited, Decimal("0.5"))
    assert not budgets.covers(limited, Decimal("0.500001"))
    assert not budgets.covers(pipeline(model="unheard.of-v1:0", budget={"per_document_usd": 1}), Decimal(0))


def test_a_pipeline_is_approved_until_a_time_and_documents_by_name() -> None:
    ranges = tuple(str(Range(f"document{n:08d}", "m", 0, 1, 1)) for n in (1, 2))
    both = shard(1, 2, ranges=ranges, first_at="2026-01-05T08:00:00.000Z")
    assert not Approvals().whole(both)
    one = Approvals(frozenset({"document00000001"}))
    assert (one.of(both), one.whole(both)) == ({"document00000001"}, False)
    assert Approvals(pipelines={"p": "2026-01-05T08:00:00.000Z"}).whole(both)
    assert not Approvals(pipelines={"p": "2026-01-05T07:59:59.999Z"}).whole(both)
    assert not Approvals(pipelines={"q": "2026-01-05T08:00:00.000Z"}).whole(both)


def due(number: int, pipeline: str = "p") -> Any:
    ranges = (str(Range(f"document{number:08d}", "m", 0, 100, 1)),)
    return shard(number, 100, pipeline=pipeline, urgent_at="2026-01-05T08:59:59.999Z", ranges=ranges)


def test_all_pipelines_share_the_month() -> None:
    found = plan_lanes(lane([due(1), due(2, "q")]), room={STACK: Decimal(1)})
    assert [one.records for one in found.jobs] == [100]
    (held,) = found.lacks.values()
    assert (held.scope, held.needs, held.left) == (Scope.MONTH, 1, 0)


def test_what_is_approved_need_not_fit_into_the_day_and_leaves_nothing_for_others() -> None:
    approvals = Approvals(frozenset({"document00000001"}))
    found = pack.plan(
        [lane([due(1), due(2)])],
        now="2026-01-05T09:00:00.000Z",
        free_slots=1,
        turn="",
        room={"p": Decimal("0.5")},
        cost=one_usd,
        cancels=Cancels(),
        approvals=approvals,
    )
    assert [one.records for one in found.jobs] == [100]
    assert rests(found) == [(2, Code.BUDGET_EXCEEDED)]
    assert found.lacks["s0002"].left == Decimal("-0.5")


def test_without_a_price_nothing_fits_into_a_budget() -> None:
    unheard = shard(1, 100, model="unheard.of-v1:0")
    assert pack.budgeted(unheard, Engine.BATCH, pack.Tier.DEFAULT) == BEYOND
    assert pack.most(unheard, Engine.BATCH, pack.Tier.DEFAULT) == 0


def said(lack: Lack) -> str:
    return budgets.said(lack, model=NOVA, document_id="abc", day="2026-12-31")


def test_a_hold_is_said_with_its_numbers_and_what_to_do() -> None:
    day = said(Lack(Scope.DAY, Decimal("0.0000001"), Decimal("0.9999999"), Decimal(4)))
    assert "may cost 0.000001 USD; 0.999999 of 4 USD are left" in day
    assert "`batchline approve abc`" in day
    month = said(Lack(Scope.MONTH, Decimal(2), Decimal(1), Decimal(50)))
    assert "the stack's budget for 2026-12" in month
    assert "2027-01-01" in month
    assert "approve" not in month
    document = said(Lack(Scope.DOCUMENT, Decimal(2), Decimal(1), Decimal(1)))
    assert "may cost 2 USD, and budget.per_document_usd leaves it 1 of 1" in document
    unknown = said(Lack(Scope.DAY, BEYOND, Decimal(1), Decimal(1)))
    assert unknown.startswith(f"No price is known for {NOVA}, so nobody can tell")
