"""No rate set names evidence that does not hold, whichever way the command comes."""

import asyncio
from collections.abc import Sequence

from domain.command import Command
from domain.errors import Refusal
from domain.playbook import AdoptRateSet
from infra.readers import Readers
from workers.recalibration.adopting import claimed
from workers.recalibration.proof import Proofs
from workers.recalibration.record import LogPoint


class Evidence:
    """Checks what commands say about their evidence, before they are decided."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._proofs = Proofs(readers.url)

    def stop(self) -> None:
        """Break off what is being proven, so that the server can stop."""
        self._proofs.stop()

    @staticmethod
    def is_named(commands: Sequence[Command]) -> bool:
        """Whether any of the commands names evidence."""
        return any(isinstance(c, AdoptRateSet) and c.evidence is not None for c in commands)

    async def require(self, commands: Sequence[Command]) -> None:
        """Prove the evidence that is named; some must be.

        Raises a Refusal for the first command that names evidence which is not there, says something else, or was
        made from another log than this one.
        """
        points: set[LogPoint] = set()
        for index, command in enumerate(commands):
            if isinstance(command, AdoptRateSet) and command.evidence is not None:
                try:
                    points.add(await self._claimed(command))
                except Refusal as refusal:
                    refusal.index = index
                    raise
        await asyncio.to_thread(self._proofs.prove, tuple(points))

    async def _claimed(self, command: AdoptRateSet) -> LogPoint:
        return await self._readers.run(lambda conn: claimed(conn, command))
