"""Trial: a model is asked a sample of records on demand. Nothing is written anywhere."""

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from batchline import catalog, collect, dialects, invoke, pacing
from batchline.aws.runtime import CallError, Runtime
from batchline.errors import Code
from batchline.ids import MAP, RecordId
from batchline.models import Failure, Tier
from batchline.pipelines import Pipeline
from batchline.recommend import Reply

CONCURRENCY: Final = 8
TRIES: Final = 5
NAME: Final = str(RecordId("a" * 16, MAP, 0, 1))  # answers are read one by one, and need no other


@dataclass(frozen=True, slots=True)
class Trial:
    """Asks models. `seconds` tells how time goes by, `chance` numbers from 0 to 1."""

    runtime: Runtime
    pipeline: Pipeline
    pause: Callable[[float], None] = time.sleep
    seconds: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def ask(self, model: str, bodies: Sequence[dict[str, Any]]) -> list[Reply]:
        """Ask a model all requests, some at once; replies stand in the order of the requests."""
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            return list(pool.map(lambda body: self._ask(model, body), bodies))

    def _ask(self, model: str, body: dict[str, Any]) -> Reply:
        kind = catalog.model(model).invocation_type
        tried = 0
        while True:
            tried += 1
            began = self.seconds()
            try:
                output = self.runtime.ask(model, kind, body, Tier.DEFAULT)
            except CallError as error:
                if error.worth_repeating and tried < TRIES:
                    self.pause(pacing.backoff(tried, self.chance()))
                    continue
                return Reply(failure=Failure(Code.MODEL_ERROR, f"{error.code}: {error.message}"))
            return self._judged(model, body, output, self.seconds() - began)

    def _judged(self, model: str, body: dict[str, Any], output: dict[str, Any], seconds: float) -> Reply:
        """Judge an answer as collect does at the last attempt, when nobody is asked again."""
        answer = collect.read(invoke.answered(NAME, body, output))
        verdict = collect.judge(answer, self.pipeline, model=model, attempt=self.pipeline.attempts)
        value = () if verdict.failure else (verdict.output,)
        return Reply(value, verdict.failure, dialects.usage(output), seconds)
