"""Puts the parts together: one emulator with its clock, jobs, faults and both services."""

from typing import TYPE_CHECKING

from local.bedrock.clock import Clock
from local.bedrock.control_plane import ControlPlane
from local.bedrock.events import Publisher
from local.bedrock.extractive import ExtractiveWriter
from local.bedrock.faults import FaultBoard, Faults
from local.bedrock.jobs import JobStore
from local.bedrock.lifecycle import Runner
from local.bedrock.limits import Limits
from local.bedrock.runtime import Runtime
from local.bedrock.settings import Settings
from local.bedrock.storage import Storage

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from local.bedrock.generation import Writer


class Emulator:
    """Everything that one server serves. Made inside a running event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock(manual=settings.manual_clock)
        self.store = JobStore()
        self.faults = FaultBoard(Faults(seed=settings.seed))
        self._pool: ThreadPoolExecutor | None = None
        self.writer: Writer = ExtractiveWriter()
        publisher = None
        if settings.events:
            publisher = Publisher(settings.events_endpoint, self.clock, self.faults)
        self.runner = Runner(
            store=self.store,
            clock=self.clock,
            storage=Storage(settings.s3_endpoint, settings.region),
            publisher=publisher,
            faults=self.faults,
            writer=self.writer,
            pool=self._pool,
            limits=Limits(),
            step_seconds=settings.step_seconds,
        )
        self.control_plane = ControlPlane(self.store, self.runner, self.clock)
        self.runtime = Runtime(self.writer, self.faults)

    async def close(self) -> None:
        """Cancel what runs."""
        await self.clock.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
