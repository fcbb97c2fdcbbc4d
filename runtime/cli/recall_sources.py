"""`lar recall sources` and `sync`: the places that collections are kept in step with."""

import argparse

from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_USAGE,
    CommandFailed,
    notice,
    say,
    say_json,
    say_table,
)
from runtime.cli.progress import tell_seconds
from runtime.cli.recall_calls import clean, confirm, counted, day, one_line, with_recall
from runtime.cli.recall_jobs import tell_failures
from runtime.cli.recall_progress import JobsView, follow
from runtime.core.knowledge import Job, Source


def sources(chosen: argparse.Namespace) -> int:
    """Print sources, or change the one that is named."""
    if chosen.source is not None:
        return _one(chosen)

    if chosen.pause or chosen.resume or chosen.remove:
        raise CommandFailed("Name a source: lar recall sources SOURCE --pause.", EXIT_USAGE)

    found = with_recall(lambda recall: recall.sources.list_all(chosen.collection))
    if chosen.json:
        say_json(found)
    elif found:
        _table(found)
    else:
        notice("Nothing is followed. 'lar recall add URL --follow 6h' does.")
    return EXIT_OK


def sync(chosen: argparse.Namespace) -> int:
    """Bring sources in step now; exit code 1 where one fails."""
    jobs = with_recall(lambda recall: _sync(recall, chosen))
    if chosen.json:
        say_json(jobs)
    else:
        for job in jobs:
            tell_failures(job)
            words = "goes on" if job.status in ("queued", "running") else job.status
            say(f"{job.source or job.id}: {words}, {counted(job.done, 'document')}")
    return EXIT_FAILED if any(job.status == "failed" or job.failures for job in jobs) else EXIT_OK


async def _sync(recall: RemoteRecall, chosen: argparse.Namespace) -> list[Job]:
    known = await recall.sources.list_all()
    wanted = [_meant(known, each) for each in chosen.sources] or known
    if not wanted:
        raise CommandFailed("Nothing is followed. 'lar recall add URL --follow 6h' does.")

    jobs = [await recall.sources.sync(each.id) for each in wanted]
    if chosen.no_wait:
        return jobs

    with JobsView(0, is_shown=not chosen.json) as view:
        return [await follow(recall, each, view) for each in jobs]


def _one(chosen: argparse.Namespace) -> int:
    source = with_recall(lambda recall: _find(recall, chosen))
    if chosen.remove:
        return _remove(chosen, source)

    if chosen.pause or chosen.resume:
        source = with_recall(lambda recall: recall.sources.pause(source.id, is_paused=chosen.pause))
    if chosen.json:
        say_json(source)
    else:
        _table([source])
        for note in source.notes:
            notice(f"! {clean(note)}")
    return EXIT_OK


def _remove(chosen: argparse.Namespace, source: Source) -> int:
    fate = "keeps" if chosen.keep_documents else "forgets"
    question = f"Follow {clean(source.uri)} no more? Lar {fate} its {counted(source.documents, 'document')}."
    confirm(question, is_agreed=chosen.yes)
    keeps = chosen.keep_documents
    with_recall(lambda recall: recall.sources.remove(source.id, is_keeping_documents=keeps))
    notice(f"✔ {clean(source.uri)} is followed no more.")
    return EXIT_OK


async def _find(recall: RemoteRecall, chosen: argparse.Namespace) -> Source:
    return _meant(await recall.sources.list_all(chosen.collection), chosen.source)


def _meant(known: list[Source], name: str) -> Source:
    found = [each for each in known if name in (each.id, each.uri)]
    if len(found) == 1:
        return found[0]

    if found:
        ids = ", ".join(each.id for each in found)
        raise CommandFailed(f"Several collections follow {name}: {ids}. Name one by its id.", EXIT_USAGE)
    raise CommandFailed(f"Nothing called '{name}' is followed. 'lar recall sources' shows what is.")


def _table(found: list[Source]) -> None:
    headers = ("SOURCE", "KIND", "DOCUMENTS", "EVERY", "IN STEP", "NEXT", "ADDRESS")
    say_table(headers, [_row(each) for each in found])


def _row(source: Source) -> list[str]:
    state = "paused" if source.is_paused else day(source.next_at)
    fault = f" ✖ {source.fault.message}" if source.fault is not None else ""
    return [
        source.id,
        source.kind,
        str(source.documents),
        tell_seconds(source.interval_s),
        day(source.synced_at) or "not yet",
        state,
        one_line(f"{source.uri}{fault}", 200),
    ]
