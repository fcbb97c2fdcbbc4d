"""How the rows of one step are given to the live seqs. Pure.

Seqs that generate come first, one row each (more where a draft is checked or a grammar left no choice). The
rest of the budget goes to prompts: the oldest of the most urgent gets at least half of it, so that it ends,
and the others share the rest, shortest first, so that a short one does not wait behind a long one.

Only seqs of one adapter can be computed together; adapters take turns. A picture is computed whole and alone,
and not in two steps running as long as anybody else waits: encoding one takes long.
"""

from collections.abc import Sequence

from runtime.backends.engines.llama.pace import Budgets
from runtime.backends.engines.llama.plan import Job, Span

CHUNK_TOKENS = 16
"""A generating seq with no more than this to compute goes with the generating ones: what a grammar forced."""


def plan_picture(jobs: Sequence[Job], *, was_picture: bool) -> tuple[str, Span] | None:
    """Return the picture whose turn it is and its adapter; None where the step belongs to text."""
    at_pictures = [job for job in jobs if _is_at_picture(job)]
    if not at_pictures or (was_picture and any(job.ahead > 0 for job in jobs)):
        return None

    job = min(at_pictures, key=lambda job: (job.rank, job.arrived))
    picture = job.next_picture
    assert picture is not None
    end = picture.start + picture.length
    outputs = 1 if end == len(job.tokens) else 0
    return job.namespace, Span(
        job.seq, job.slot, picture.start, job.tokens[picture.start : end], outputs, picture
    )


def plan_spans(jobs: Sequence[Job], budgets: Budgets, rows: int, last: str) -> tuple[str, list[Span]]:
    """Return the adapter whose turn it is after `last`, and the spans of text of the step."""
    namespace = _next_namespace(jobs, last)
    ready = [job for job in jobs if job.namespace == namespace]
    spans: list[Span] = []
    left = rows
    for job in ready:
        if _generates(job):
            spans.append(_generating(job, left - _needed(ready, spans)))
            left -= len(spans[-1].tokens)

    prompts = [job for job in ready if not _generates(job) and job.ahead > 0]
    budget = min(budgets.beside if spans else budgets.alone, left)
    return namespace, spans + _prompt_spans(prompts, budget, min(budgets.whole, left) if spans else 0)


def _next_namespace(jobs: Sequence[Job], last: str) -> str:
    names = sorted({job.namespace for job in jobs if job.ahead > 0})
    if not names:
        return last

    return next((name for name in names if name > last), names[0])


def _generates(job: Job) -> bool:
    if (job.is_scored and not job.has_begun) or job.ahead < job.pending:
        return False

    return job.pending == 1 or (job.has_begun and 0 < job.pending <= CHUNK_TOKENS)


def _is_at_picture(job: Job) -> bool:
    return job.ahead == 0 and job.pending > 0


def _needed(ready: Sequence[Job], spans: Sequence[Span]) -> int:
    """How many rows the generating seqs that have no span yet need at least, the next one not counted."""
    return sum(1 for job in ready if _generates(job)) - len(spans) - 1


def _generating(job: Job, most: int) -> Span:
    tokens = job.tokens[job.computed :]
    if len(tokens) > most:  # the rest of a chunk waits for the next step
        return Span(job.seq, job.slot, job.computed, tokens[:most], 0)

    job.draft = job.draft[: most - len(tokens)] if len(tokens) == 1 else []
    return Span(job.seq, job.slot, job.computed, tokens + job.draft, 1 + len(job.draft))


def _prompt_spans(jobs: Sequence[Job], budget: int, whole: int) -> list[Span]:
    """Share the budget out; it grows to the oldest prompt's end where at most `whole` of that is ahead."""
    if not jobs or budget <= 0:
        return []

    oldest = min(jobs, key=lambda job: (job.rank, job.arrived))
    if budget < oldest.ahead <= whole:
        return [_prompt(oldest, oldest.ahead)]

    others = sorted((job for job in jobs if job is not oldest), key=lambda job: (job.rank, job.ahead))
    demand = sum(job.ahead for job in others)
    first = min(oldest.ahead, max(budget - demand, budget // 2, 1))
    spans = [_prompt(oldest, first)]
    left = budget - len(spans[0].tokens)
    for job in others:
        if left > 0:
            spans.append(_prompt(job, min(job.ahead, left)))
            left -= len(spans[-1].tokens)
    return spans


def _prompt(job: Job, count: int) -> Span:
    mark = next((mark for mark in job.marks if mark > job.computed), None)
    if mark is not None:
        count = min(count, mark - job.computed)
    end = job.computed + count
    outputs = 1 if end == len(job.tokens) else 0
    if job.is_scored and not job.has_begun:
        outputs = count
    return Span(job.seq, job.slot, job.computed, job.tokens[job.computed : end], outputs)
