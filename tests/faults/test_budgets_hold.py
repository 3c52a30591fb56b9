"""No budget is exceeded, whoever does what at the same time. BATCHLINE_FAULTS_SEED=<n> repeats one storm."""

import os
import traceback

import pytest

from tests.faults.conftest import Make
from tests.faults.sharing import shared
from tests.faults.spree import Spree
from tests.faults.storm import storm

ONLY = os.environ.get("BATCHLINE_FAULTS_SEED")
SEEDS = int(os.environ.get("BATCHLINE_FAULTS_SEEDS", "60"))
AGAIN = "BATCHLINE_FAULTS_SEED={seed} .venv/bin/pytest tests/faults/test_budgets_hold.py"


def test_no_budget_is_exceeded(make_smallest: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if ONLY:
        storm(make_smallest, int(ONLY), monkeypatch, Spree)
        return

    def broken(seed: int) -> str | None:
        try:
            storm(make_smallest, seed, monkeypatch, Spree)
        except Exception:  # noqa: BLE001 - whatever a storm breaks is told, with its seed
            return f"{AGAIN.format(seed=seed)}\n{traceback.format_exc(limit=-4)}"
        return None

    found = list(filter(None, shared(broken, range(SEEDS))))
    assert not found, f"{len(found)} of {SEEDS} storms broke something:\n" + "\n".join(found)
