"""The emulator's own count of what it has charged, apart from answers and manifests.

Whoever keeps a ledger can hold it against this: it is added up where tokens are metered, and nothing that is
written down is read for it.
"""

import threading
from collections import Counter
from typing import Any, Final

BATCH: Final = "batch"
ON_DEMAND: Final = "on_demand"


class Bill:
    """Requests that were answered, and their tokens, by base model and by how they were asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], Counter[str]] = {}

    def add(self, model: str, engine: str, input_tokens: int, output_tokens: int) -> None:
        """Charge one request."""
        with self._lock:
            self._counts.setdefault((model, engine), Counter()).update(
                requests=1, input_tokens=input_tokens, output_tokens=output_tokens
            )

    def rows(self) -> list[dict[str, Any]]:
        """List the sums."""
        with self._lock:
            return [
                {
                    "model": model,
                    "engine": engine,
                    **{name: counts[name] for name in ("requests", "input_tokens", "output_tokens")},
                }
                for (model, engine), counts in sorted(self._counts.items())
            ]

    def clear(self) -> None:
        """Begin at zero."""
        with self._lock:
            self._counts.clear()
