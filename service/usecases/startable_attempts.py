"""Selects the attempts that may be claimed now, most urgent first. Dispatch and work offers use the same order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from baton.domain.states import HELD_ATTEMPTS
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job, JobLabel
from service.db.unit_of_work import Unit
from service.usecases.attempt_limits import Limits, Place
from service.usecases.project_quotas import with_quota, with_quotas
from service.usecases.queue_backlog import Entry, Line, entries, lines

PAGE = 50
"""Number of attempts of a line that are read together. Line: see `service.usecases.queue_backlog`."""


@dataclass(frozen=True)
class Startable:
    """A queued attempt that may be claimed now. `line`: the line of the attempt. `sent`: its message is in Redis."""

    attempt_id: str
    job_number: int
    line: Line
    sent: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Sort key, lowest first."""
        return self.line.urgency, self.job_number


def _any(_line: Line) -> bool:
    return True


def startable(
    session: Session, limits: Limits, queues: Collection[str] | None = None, wants: Callable[[Line], bool] = _any
) -> Iterator[Startable]:
    """The attempts that may be claimed now in these queues (None: all queues), most urgent first.

    Before each attempt, `wants` is called with its line. If it returns False, the rest of this line is skipped.
    Yields no more attempts than there are free places under the limits. Each attempt takes its places from the later
    attempts for the same kind of worker.
    """
    limits = with_quotas(session, limits)
    return in_order(session, limits, lines(session, limits, queues), wants)


def in_order(
    session: Session, limits: Limits, waiting: Iterable[Line], wants: Callable[[Line], bool] = _any
) -> Iterator[Startable]:
    """Like `startable`, for lines that were already read. Reads at most one page of a line more than needed."""
    held, taken = occupied(session, limits), dict[object, Counter[Place]]()
    readers = [_Reader(session, line) for line in waiting]
    heap = [(one.order, number, one) for number, one in enumerate(readers)]
    heapify(heap)
    while heap:
        _, number, reader = heappop(heap)
        line = reader.line
        # An attempt for another kind of worker does not take a place from this kind.
        places = taken.setdefault(line.required.worker, held.copy())
        if _full(line.places, places) is not None or not wants(line):
            continue
        places.update(line.places)
        yield Startable(reader.next.attempt_id, reader.next.job_number, line, reader.next.sent)
        if wants(line) and _full(line.places, places) is None and reader.advance():
            heappush(heap, (reader.order, number, reader))


class _Reader:
    """Reads a line page by page."""

    def __init__(self, session: Session, line: Line) -> None:
        self.line, self.next = line, line.head
        self._session, self._page = session, deque[Entry]()

    @property
    def order(self) -> tuple[int, int]:
        return self.line.urgency, self.next.job_number

    def advance(self) -> bool:
        """Go to the next attempt of the line. False if there is none."""
        if not self._page and not self.line.alone:
            self._page.extend(entries(self._session, self.line, PAGE, after=self.next.job_number))
        if not self._page:
            return False
        self.next = self._page.popleft()
        return True


def room(places: Collection[Place], taken: Counter[Place], most: int) -> int:
    """How many more attempts these limits allow, at most `most`."""
    return max(0, min([most, *(place.most - taken[place] for place in places)]))


def occupied(session: Session, limits: Limits) -> Counter[Place]:
    """The number of held attempts by limit. Limits without a held attempt are left out."""
    taken: Counter[Place] = Counter()
    held = (IS_LIVE, Attempt.state.in_(HELD_ATTEMPTS))
    if limits.queues:
        query = select(Job.queue, func.count()).join(Attempt, Attempt.job_id == Job.id)
        for queue, number in session.execute(query.where(*held, Job.queue.in_([*limits.queues])).group_by(Job.queue)):
            taken.update(dict.fromkeys(limits.places(queue, {}), number))
    if limits.labels:
        labels = select(JobLabel.key, JobLabel.value, func.count()).select_from(Attempt)
        labels = labels.join(Job, Job.id == Attempt.job_id).join(JobLabel, JobLabel.job_number == Job.number)
        labels = labels.where(*held, JobLabel.key.in_(limits.label_keys)).group_by(JobLabel.key, JobLabel.value)
        for key, value, number in session.execute(labels):
            place = limits.label(key, value)
            if place is not None:
                taken[place] += number
    if limits.projects:
        of = select(Attempt.project, func.count()).where(*held, Attempt.project.in_([*limits.projects]))
        for project, number in session.execute(of.group_by(Attempt.project)):
            taken[limits.project(project)] = number
    return taken


def full(unit: Unit, limits: Limits, job: Job) -> Place | None:
    """The first limit of the job that is reached, or None. Locks all limits of the job until this transaction ends.

    Call this while only the job's row is locked. All claims then lock in the same order, so they cannot deadlock.
    """
    limits = with_quota(unit.session, limits, job.project)
    places = limits.places(job.queue, job.labels, job.project)
    if not places:
        return None
    unit.lock_names(str(place) for place in places)
    return _full(places, occupied(unit.session, limits))


def _full(places: Collection[Place], taken: Counter[Place]) -> Place | None:
    return next((place for place in places if taken[place] >= place.most), None)
