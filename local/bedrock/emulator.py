"""Puts the parts together: one emulator with its clock, jobs, faults and both services."""

from concurrent.futures import ThreadPoolExecutor

from local.bedrock import scenario
from local.bedrock.bill import Bill
from local.bedrock.clock import Clock
from local.bedrock.control_plane import ControlPlane
from local.bedrock.events import Publisher
from local.bedrock.extractive import ExtractiveWriter
from local.bedrock.faults import FaultBoard
from local.bedrock.generation import Writer
from local.bedrock.guardrails import Guardrails
from local.bedrock.jobs import JobStore
from local.bedrock.lifecycle import Runner
from local.bedrock.openai_endpoint import EndpointWriter
from local.bedrock.runtime import Runtime
from local.bedrock.scenario import Scenario
from local.bedrock.settings import Settings
from local.bedrock.storage import Storage
from local.bedrock.throttle import Meter


class Emulator:
    """Everything that one server serves. Made inside a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.beginning = _beginning(settings)
        self.clock = Clock(manual=settings.manual_clock)
        self.store = JobStore()
        self.faults = FaultBoard(self.beginning.faults)
        self.guardrails = Guardrails(self.beginning.guardrails)
        self.meter = Meter(self.clock.now)
        self.bill = Bill()
        self._pool: ThreadPoolExecutor | None = None
        writer = self._writer()
        publisher = None
        if settings.events:
            publisher = Publisher(settings.events_endpoint, self.clock, self.faults)
        self.runner = Runner(
            store=self.store,
            clock=self.clock,
            storage=Storage(settings.s3_endpoint, settings.region),
            publisher=publisher,
            faults=self.faults,
            writer=writer,
            pool=self._pool,
            bill=self.bill,
            limits=self.beginning.limits,
            step_seconds=settings.step_seconds,
        )
        self.control_plane = ControlPlane(self.store, self.runner, self.clock, self.meter)
        self.runtime = Runtime(writer, self.guardrails, self.meter, self.bill, self.runner)

    def _writer(self) -> Writer:
        """Return the default writer, or a real model if an endpoint is set."""
        settings = self.settings
        if settings.model_endpoint is None:
            return ExtractiveWriter()
        self._pool = ThreadPoolExecutor(settings.model_concurrency, "model")
        return EndpointWriter(
            settings.model_endpoint,
            settings.model_name,
            concurrency=settings.model_concurrency,
            timeout=settings.model_timeout,
        )

    def reset(self) -> None:
        """Forget jobs and the bill, and return to the faults, limits and guardrails of the start."""
        self.store.clear()
        self.meter.clear()
        self.bill.clear()
        self.faults.replace(self.beginning.faults)
        self.guardrails.replace(self.beginning.guardrails)
        self.runner.limits = self.beginning.limits

    async def close(self) -> None:
        """Cancel what runs."""
        await self.clock.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _beginning(settings: Settings) -> Scenario:
    """Return the scenario of the settings; faults given on their own override the file's."""
    start = scenario.load(settings.scenario) if settings.scenario else Scenario()
    faults = settings.faults if settings.faults is not None else start.faults
    if "seed" in settings.model_fields_set:
        faults = faults.model_copy(update={"seed": settings.seed})
    return start.model_copy(update={"faults": faults})
