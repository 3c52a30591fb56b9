"""Many seeded storms; `make chaos` lets more of them rage."""

import pytest

from tests.faults.conftest import Make
from tests.faults.storm import seeds, storm


@pytest.mark.parametrize("seed", seeds(200))
def test_storm(make_smallest: Make, seed: int) -> None:
    storm(make_smallest, seed)
