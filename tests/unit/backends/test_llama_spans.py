from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.engines.llama.pace import Budgets
from runtime.backends.engines.llama.plan import Job, Span
from runtime.backends.engines.llama.spans import plan_spans

BUDGETS = Budgets(alone=512, beside=64)


def job(seq: int, *, prompt: int = 10, generated: int = 0, computed: int = 0, **fields: Any) -> Job:
    tokens = list(range(prompt + generated))
    return Job(
        seq=seq,
        tokens=tokens,
        prompt=prompt,
        most_tokens=9999,
        computed=computed,
        slot=seq,
        arrived=seq,
        **fields,
    )


def spans_of(*jobs: Job, rows: int = 512) -> list[Span]:
    return plan_spans(jobs, BUDGETS, rows, "")[1]


def test_what_a_grammar_forced_goes_with_the_generating_rows_and_wants_its_last_logits() -> None:
    spans = spans_of(job(1, generated=5, computed=10), job(2, prompt=300))

    assert [(span.seq, len(span.tokens), span.outputs) for span in spans] == [(1, 5, 1), (2, 64, 0)]


def test_a_draft_wants_the_logits_of_every_row() -> None:
    [span] = spans_of(job(1, generated=1, computed=10, draft=[7, 8]))

    assert (span.tokens, span.outputs) == ([10, 7, 8], 3)


def test_the_oldest_prompt_gets_half_of_the_budget_and_short_ones_share_the_rest() -> None:
    spans = spans_of(
        job(1, generated=1, computed=10), job(2, prompt=500), job(3, prompt=400), job(4, prompt=20)
    )

    assert [(span.seq, len(span.tokens)) for span in spans] == [(1, 1), (2, 32), (4, 20), (3, 12)]


def test_the_oldest_gets_what_the_others_leave() -> None:
    spans = spans_of(job(1, generated=1, computed=10), job(2, prompt=500), job(3, prompt=10))

    assert [(span.seq, len(span.tokens)) for span in spans] == [(1, 1), (2, 54), (3, 10)]


def test_a_prompt_ends_a_span_where_its_state_is_to_be_saved() -> None:
    spans = spans_of(job(1, prompt=300, marks=[100]))

    assert [(len(span.tokens), span.outputs) for span in spans] == [(100, 0)]


def test_a_prompt_that_is_scored_wants_every_row() -> None:
    assert [span.outputs for span in spans_of(job(1, prompt=30, is_scored=True))] == [30]


def test_adapters_take_turns() -> None:
    jobs = [job(1, namespace="a"), job(2, namespace="b"), job(3, namespace="a")]
    turns = []
    last = ""
    for _ in range(3):
        last, spans = plan_spans(jobs, BUDGETS, 512, last)
        turns.append([span.seq for span in spans])

    assert turns == [[1, 3], [2], [1, 3]]


@given(
    st.lists(
        st.builds(
            lambda prompt, generated, pending, draft: (prompt, generated, pending, draft),
            st.integers(1, 200),
            st.integers(0, 20),
            st.integers(1, 250),
            st.lists(st.integers(0, 9), max_size=16),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(8, 64),
)
def test_rows_are_never_exceeded_and_everybody_who_generates_gets_one(
    shapes: list[tuple[int, int, int, list[int]]], rows: int
) -> None:
    jobs = []
    for seq, (prompt, generated, pending, draft) in enumerate(shapes):
        made = job(seq, prompt=prompt, generated=generated, computed=max(0, prompt + generated - pending))
        made.draft = draft if made.pending == 1 else []
        jobs.append(made)

    spans = spans_of(*jobs, rows=rows)

    assert sum(len(span.tokens) for span in spans) <= rows
    served = {span.seq for span in spans}
    assert all(each.seq in served for each in jobs if each.pending == 1)
    for span in spans:
        each = jobs[span.seq]
        assert span.tokens == [*each.tokens, *each.draft][each.computed : each.computed + len(span.tokens)]
        is_complete = each.computed + len(span.tokens) >= len(each.tokens)
        assert (span.outputs > 0) == is_complete


def test_beside_streams_a_short_prompt_is_computed_to_its_end_and_alone() -> None:
    budgets = Budgets(alone=512, beside=64, whole=128)
    jobs = [job(1, generated=1, computed=10), job(2, prompt=100), job(3, prompt=20)]

    spans = plan_spans(jobs, budgets, 512, "")[1]

    assert [(span.seq, len(span.tokens)) for span in spans] == [(1, 1), (2, 100)]


def test_beside_streams_a_long_prompt_keeps_to_the_budget() -> None:
    budgets = Budgets(alone=512, beside=64, whole=128)

    spans = plan_spans([job(1, generated=1, computed=10), job(2, prompt=129)], budgets, 512, "")[1]

    assert [(span.seq, len(span.tokens)) for span in spans] == [(1, 1), (2, 64)]
