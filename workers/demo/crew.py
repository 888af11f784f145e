"""Who of other departments works on a deal of the demonstration company, and sometimes a manager with them."""

from collections.abc import Iterator
from uuid import UUID

from domain.deal import JoinDealTeam, LeaveDealTeam
from workers.demo.company import EXPERTS, Happening, manager_of


class Crew:
    """One deal's team: it comes together in the first stay of the deal, and some leave it in the second."""

    def __init__(self, deal_id: UUID, number: int, owner: str, day: float) -> None:
        self._deal_id = deal_id
        self._stays = 0
        self._people = [expert for n, expert in enumerate(EXPERTS) if number % (n + 3) == 0]
        if number % 31 == 10:
            self._people.append((manager_of(owner, day), "sales"))

    def stay(self, owner: str, start: float, end: float) -> Iterator[Happening]:
        """Who joins or leaves during a stay in a stage."""
        self._stays += 1
        for n, (person, department) in enumerate(self._people):
            day = start + (end - start) * (n + 1) / (len(self._people) + 2)
            if self._stays == 1:
                joins = JoinDealTeam(deal_id=self._deal_id, person=person, department=department)
                yield Happening(day, joins, owner)
            elif self._stays == 2 and n == 1:
                leaves = LeaveDealTeam(
                    deal_id=self._deal_id, person=person, reason="The question is answered."
                )
                yield Happening(day, leaves, owner)
