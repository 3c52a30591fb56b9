"""No budget is exceeded, whoever does what at the same time."""

import pytest

from tests.faults.conftest import Make
from tests.faults.spree import Spree
from tests.faults.storm import seeds, storm


@pytest.mark.parametrize("seed", seeds(60))
def test_no_budget_is_exceeded(make_smallest: Make, seed: int) -> None:
    storm(make_smallest, seed, Spree)
