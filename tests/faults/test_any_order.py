"""Many seeded storms. BATCHLINE_FAULTS_SEED=<n> repeats one of them."""

import os
import time
import traceback

import pytest

from tests.faults.conftest import Make
from tests.faults.sharing import shared
from tests.faults.storm import storm

ONLY = os.environ.get("BATCHLINE_FAULTS_SEED")
FIRST = int(os.environ.get("BATCHLINE_FAULTS_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("BATCHLINE_FAULTS_SEEDS", "200"))
SECONDS = float(os.environ.get("BATCHLINE_FAULTS_SECONDS", "inf"))
AGAIN = "BATCHLINE_FAULTS_SEED={seed} .venv/bin/pytest tests/faults/test_any_order.py"


def test_storms(make_smallest: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if ONLY:
        storm(make_smallest, int(ONLY), monkeypatch)
        return
    end = time.monotonic() + SECONDS

    def broken(seed: int) -> str | None:
        if time.monotonic() > end:
            return None
        try:
            storm(make_smallest, seed, monkeypatch)
        except Exception:  # noqa: BLE001 - whatever a storm breaks is told, with its seed
            return f"{AGAIN.format(seed=seed)}\n{traceback.format_exc(limit=-4)}"
        return None

    found = list(filter(None, shared(broken, range(FIRST, FIRST + SEEDS))))
    assert not found, f"{len(found)} of {SEEDS} storms broke something; to repeat them:\n" + "\n".join(found)
