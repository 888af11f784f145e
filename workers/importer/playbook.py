"""The funnel and the currency that an import relies on: there before the first row, and as the mapping says."""

from domain import playbook
from domain.errors import Refusal
from domain.event import Actor
from domain.playbook import EMPTY, Funnel, Playbook, PlaybookCommand, SetCurrency
from infra.executor import Executor
from infra.ids import new_id
from infra.requests import Request
from workers.importer.mapping import Mapping
from workers.importer.report import UnusableInput


def ensure_playbook(executor: Executor, mapping: Mapping, actor: Actor, *, dry_run: bool) -> None:
    """Set the currency and define the funnel of the mapping where they are missing.

    Raises UnusableInput when the deployment has them otherwise, or the actor may not define them.
    """
    book: Playbook = executor.stream(playbook.STREAM_ID).state or EMPTY
    commands: list[PlaybookCommand] = []
    if book.currency != mapping.currency:
        commands.append(SetCurrency(currency=mapping.currency))
    funnel = book.funnels.get(mapping.funnel.key)
    if funnel is None:
        commands.append(mapping.funnel.command())
    elif differences := _differences(mapping, funnel):
        raise UnusableInput(
            f"The funnel {funnel.key!r} is defined otherwise already: {'; '.join(differences)}. "
            "Make the mapping say the same, give its funnel another key, or revise-funnel."
        )
    if not commands:
        return
    command_id = str(new_id())
    request = Request(commands=tuple(commands), actor=actor, command_id=command_id)
    (answer,) = executor.execute([request], dry_run=dry_run)
    if isinstance(answer, Refusal):
        accepted = f" Accepted: {answer.accepted}." if answer.accepted else ""
        raise UnusableInput(f"The mapping's funnel can not be used: {answer.detail}{accepted}")


def _differences(mapping: Mapping, there: Funnel) -> list[str]:
    """What the mapping says otherwise than the funnel that is there, in words."""
    wanted = mapping.funnel
    stages = tuple(stage.stage() for stage in wanted.stages)
    found = []
    if (wanted.label.en, wanted.label.zh) != (there.label.en, there.label.zh):
        found.append(f"its label is {there.label.en!r}")
    if wanted.dated != there.dated:
        found.append("it is dated" if there.dated else "it is not dated")
    if [s.key for s in stages] != [s.key for s in there.stages]:
        found.append(f"its stages are {', '.join(s.key for s in there.stages)}")
    else:
        unlike = [s.key for s, t in zip(stages, there.stages, strict=True) if s != t]
        if unlike:
            found.append(f"label, macro-stage or days differ in {', '.join(unlike)}")
    return found
