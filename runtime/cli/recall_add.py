"""`lar recall add`: files, folders, pipes and addresses are taken in; every failure is told."""

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from runtime.api.remote.knowledge import Upload
from runtime.api.remote.recall import RemoteRecall
from runtime.cli.output import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandFailed, notice, say, say_json
from runtime.cli.recall_calls import TENANT, clean, counted, with_recall
from runtime.cli.recall_gathering import Choice, Gathered, batches, gather, is_address
from runtime.cli.recall_progress import JobsView, follow
from runtime.core.errors import NotFound
from runtime.core.knowledge import Document, DocumentFault, Job, JobFailure, NewCollection, NewSource, Source


class Outcome(msgspec.Struct, kw_only=True):
    """What became of all that was given."""

    collection: str
    jobs: list[Job] = []
    documents: list[Document] = []
    sources: list[Source] = []
    failures: list[JobFailure] = []


def add_documents(chosen: argparse.Namespace) -> int:
    """Take in what is named; exit code 1 if any of it failed."""
    with tempfile.TemporaryDirectory(prefix="lar-") as folder:
        given = _gather(chosen, Path(folder))
        outcome = with_recall(lambda recall: _take_in(recall, chosen, given))
    if chosen.json:
        say_json(outcome)
    else:
        _tell(outcome, is_waiting=not chosen.no_wait)
    return EXIT_FAILED if outcome.failures else EXIT_OK


def _gather(chosen: argparse.Namespace, folder: Path) -> Gathered:
    """Find the files that are meant; what comes from stdin is written to `folder` first."""
    places = [each for each in chosen.places if each != "-"]
    if chosen.follow is not None and ("-" in chosen.places or any(_is_file(each) for each in places)):
        raise CommandFailed("--follow takes a URL or a folder: a single file cannot be followed.", EXIT_USAGE)

    choice = Choice(tuple(chosen.include), tuple(chosen.exclude), is_hidden_wanted=chosen.hidden)
    given = gather(places, choice, is_following=chosen.follow is not None)
    if "-" in chosen.places:
        path = folder / "stdin"
        with path.open("wb") as file:
            while piece := sys.stdin.buffer.read(1 << 20):
                file.write(piece)
        if not path.stat().st_size:
            raise CommandFailed("There is nothing to add: stdin is empty.", EXIT_USAGE)
        given.files.append(Upload(chosen.name or "stdin.txt", path))
    if not given.files and not given.addresses and not given.failures:
        raise CommandFailed("No file was found there. --include, --exclude and --hidden decide.", EXIT_USAGE)
    return given


def _is_file(place: str) -> bool:
    return not is_address(place) and Path(place).expanduser().is_file()


async def _take_in(recall: RemoteRecall, chosen: argparse.Namespace, given: Gathered) -> Outcome:
    await _ensure_collection(recall, chosen.collection)
    outcome = Outcome(collection=chosen.collection, failures=[*given.failures])
    with JobsView(len(given.files), is_shown=not chosen.json) as view:
        for batch in batches(given.files):
            view.sending(len(batch))
            taken = await recall.documents.upload(chosen.collection, batch, _options(chosen))
            outcome.documents += taken.documents
            outcome.jobs.append(taken.job)
            view.sent(taken)
        for address in given.addresses:
            source = await recall.sources.add(chosen.collection, _source(chosen, address))
            outcome.sources.append(source)
            if source.job is not None:
                outcome.jobs.append(await recall.jobs.find(TENANT, source.job))
        if not chosen.no_wait:
            await _settle(recall, chosen, outcome, view)
    return outcome


async def _ensure_collection(recall: RemoteRecall, name: str) -> None:
    try:
        await recall.collections.find(TENANT, name)
    except NotFound:
        await recall.collections.create(TENANT, NewCollection(name=name))
        notice(f"Made the collection '{clean(name)}'.")


async def _settle(recall: RemoteRecall, chosen: argparse.Namespace, outcome: Outcome, view: JobsView) -> None:
    """Wait until everything was read; then let go of sources that are not to be followed."""
    outcome.jobs = [await follow(recall, each, view) for each in outcome.jobs]
    for job in outcome.jobs:
        outcome.failures += job.failures
        if job.fault is not None and job.source is None:  # a source says itself why it failed
            outcome.failures.append(JobFailure(name=job.id, fault=job.fault))
    outcome.documents = [
        await recall.documents.find(TENANT, each.id) if each.status == "in_progress" else each
        for each in outcome.documents
    ]
    told = {each.document for each in outcome.failures}
    outcome.failures += [
        JobFailure(name=each.name, document=each.id, fault=each.fault)
        for each in outcome.documents
        if each.fault is not None and each.id not in told
    ]
    outcome.sources = [await recall.sources.find(each.id) for each in outcome.sources]
    for source in outcome.sources:
        if source.fault is not None:
            outcome.failures.append(JobFailure(name=source.uri, fault=source.fault))
        if chosen.follow is None:
            await recall.sources.remove(source.id, is_keeping_documents=True)


def _options(chosen: argparse.Namespace) -> dict[str, object]:
    options: dict[str, object] = {"attributes": dict(chosen.attribute), "tags": chosen.tag}
    if chosen.language is not None:
        options["language"] = chosen.language
    return options


def _source(chosen: argparse.Namespace, address: str) -> NewSource:
    return NewSource(
        uri=address,
        kind=chosen.kind,
        interval_s=chosen.follow or 3600.0,
        include=tuple(chosen.include),
        exclude=tuple(chosen.exclude),
        max_documents=chosen.max_documents,
        tags=tuple(chosen.tag),
        attributes=dict(chosen.attribute),
        branch=chosen.branch,
        secret=chosen.secret,
    )


def _tell(outcome: Outcome, *, is_waiting: bool) -> None:
    for failure in outcome.failures:
        notice(f"✖ {clean(failure.name)}: {_reason(failure.fault)}")
    for document in outcome.documents:
        for note in document.notes:
            notice(f"! {clean(document.name)}: {clean(note)}")
    for source in outcome.sources:
        followed = counted(source.documents, "document")
        say(f"{clean(source.uri)}: {followed}" + (f" · {source.id}" if is_waiting else ""))
    completed = sum(each.status == "completed" for each in outcome.documents)
    if not is_waiting:
        for job in outcome.jobs:
            say(f"{job.id} goes on. 'lar recall jobs {job.id} --wait' follows it.")
    elif outcome.documents:
        say(f"{counted(completed, 'document')} in '{clean(outcome.collection)}'.")
    if outcome.failures:
        notice(f"{counted(len(outcome.failures), 'failure')}; everything else is there.")


def _reason(fault: DocumentFault) -> str:
    return clean(fault.message)
