"""A Bedrock that can be slow, picky and unreliable."""

from dataclasses import dataclass
from typing import Any, override

from tests.integration.fake_bedrock import Account, Job, error


@dataclass
class MoodyAccount(Account):
    """`busy`: jobs go on until they are stopped. `refused` are models that may not be used."""

    busy: bool = False
    refused: frozenset[str] = frozenset()

    @override
    def running(self) -> list[Job]:
        return [one for one in super().running() if not self.busy or one.status == "Stopping"]

    @override
    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["modelId"] in self.refused:
            raise error("CreateModelInvocationJob", "AccessDeniedException", "this model is not for you")
        return super()._create(asked)
