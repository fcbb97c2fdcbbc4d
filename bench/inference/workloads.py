"""The workloads: each puts its requests to one server and returns its figures.

All get a seed, new in each round and the same for each server, so that a cold prefix is cold everywhere.
"""

import json
import time
from collections.abc import Awaitable, Callable, Sequence

import anyio
import jsonschema

from bench.inference.figures import Outcome, figure
from bench.inference.loadgen import Answer, Client, Message
from bench.inference.prompts import SCHEMAS, make_chat, make_format, make_turn, make_words
from bench.inference.sizes import Sizes

Workload = Callable[[Client, Sizes, str], Awaitable[dict[str, float]]]


async def warm_up(client: Client, _sizes: Sizes, seed: str) -> dict[str, float]:
    """Make the server load its model and answer once; nothing is measured."""
    answer = await client.ask([make_turn(f"{seed}-warm-up", 8)], 4, ignore_eos=True)
    return figure("warm_up", Outcome(1.0, [answer])) if answer.error else {}


async def run_shared(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Ask many at once over a prefix that nobody has computed yet; then again over the same prefix."""
    prefix = make_words(f"{seed}-shared", sizes.prefix)
    found: dict[str, float] = {}
    for workload in ("cold", "warm"):
        chats = [
            make_chat(prefix, f"{seed}-{workload}-{number}", sizes.suffix) for number in range(sizes.at_once)
        ]
        found |= figure(f"shared_{workload}", await _at_once(client, chats, sizes.answer))
    return found


async def run_unique(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Ask for as many, each with a long prompt of its own: nothing to share."""
    chats = [
        make_chat(
            make_words(f"{seed}-unique-{number}", sizes.prefix), f"{seed}-unique-{number}", sizes.suffix
        )
        for number in range(sizes.at_once)
    ]
    return figure("unique", await _at_once(client, chats, sizes.answer))


async def run_agents(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Let crews of agents share one system prompt, each taking turns over its own growing history."""
    found: dict[str, float] = {}
    for agents, turns in sizes.crews:
        name = f"agents_{agents}x{turns}"
        prefix = make_words(f"{seed}-{name}", sizes.prefix)
        answers: list[Answer] = []
        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(agents):
                session = f"{seed}-{name}-{number}"
                tasks.start_soon(_take_turns, client, sizes, prefix, session, turns, answers)
        found |= figure(name, Outcome(time.perf_counter() - began, answers))
    return found


async def _take_turns(
    client: Client, sizes: Sizes, prefix: str, session: str, turns: int, answers: list[Answer]
) -> None:
    history: list[Message] = [{"role": "system", "content": prefix}]
    for turn in range(turns):
        history.append(make_turn(f"{session}-{turn}", sizes.suffix))
        answer = await client.ask(history, sizes.agent_answer, ignore_eos=True)
        answers.append(answer)
        if answer.error is not None:
            return

        history.append({"role": "assistant", "content": answer.text})


async def run_decode(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Long answers to short prompts: one stream, then several at once."""
    found: dict[str, float] = {}
    for streams in (1, sizes.at_once):
        chats = [[make_turn(f"{seed}-decode-{streams}-{number}", 8)] for number in range(streams)]
        name = "decode_one" if streams == 1 else "decode_many"
        found |= figure(name, await _at_once(client, chats, sizes.decode_answer))
    return found


async def run_intrusion(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Disturb a running stream with a long prompt: the stream's longest silence, median of a few."""
    seen: list[dict[str, float]] = []
    for number in range(sizes.intrusions):
        found = await _intrude(client, sizes, f"{seed}-intrusion-{number}")
        if "intrusion.failed" in found:
            return found

        seen.append(found)
    seen.sort(key=lambda found: found["intrusion.gap_max_s"])
    return seen[len(seen) // 2]


async def _intrude(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    is_running = anyio.Event()
    running: list[Answer] = []

    def listen(answer: Answer) -> None:
        if len(answer.arrivals) >= sizes.running_start:
            is_running.set()

    async def run() -> None:
        answer = await client.ask([make_turn(seed, 8)], sizes.running_answer, listen=listen, ignore_eos=True)
        running.append(answer)
        is_running.set()  # also where it failed, so that nobody waits for it

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await is_running.wait()  # bounded: the request that sets it is
        intruder = await client.ask(
            make_chat(make_words(seed, sizes.prefix), seed, sizes.suffix), 8, ignore_eos=True
        )
    return judge_intrusion(running[0], intruder)


def judge_intrusion(stream: Answer, intruder: Answer) -> dict[str, float]:
    """Return the stream's longest silence from the intruder on, and whether both ran side by side."""
    failed = sum(1 for answer in (stream, intruder) if answer.error is not None)
    gaps = [
        after - before
        for before, after in zip(stream.arrivals, stream.arrivals[1:], strict=False)
        if after > intruder.sent_at
    ]
    if failed or not gaps:
        return {"intrusion.failed": float(failed or 1)}

    return {
        "intrusion.gap_max_s": max(gaps),
        "intrusion.first_s": intruder.first_s,
        "intrusion.beside": float(intruder.arrivals[0] < stream.ended_at),
    }


async def run_objects(client: Client, sizes: Sizes, seed: str) -> dict[str, float]:
    """Answers in the form of a JSON schema: the time per object that is valid."""
    limiter = anyio.Semaphore(sizes.objects_at_once)
    answers: list[tuple[Answer, dict[str, object]]] = []

    async def ask(number: int) -> None:
        question, schema = SCHEMAS[number % len(SCHEMAS)]
        chat = [{"role": "user", "content": f"{question} Answer in JSON. ({seed}-{number})"}]
        async with limiter:
            answer = await client.ask(chat, sizes.object_tokens, response_format=make_format(schema))
        answers.append((answer, schema))

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for number in range(sizes.objects):
            tasks.start_soon(ask, number)
    return judge_objects(time.perf_counter() - began, answers)


def judge_objects(wall_s: float, answers: Sequence[tuple[Answer, dict[str, object]]]) -> dict[str, float]:
    """Return the time per valid object; one that failed, was cut or does not validate costs time only."""
    valid = sum(1 for answer, schema in answers if answer.error is None and is_valid(answer.text, schema))
    counted = {
        "objects.valid": float(valid),
        "objects.invalid": float(len(answers) - valid),
        "objects.generated": float(sum(answer.completion_tokens for answer, _ in answers)),
    }
    return {"objects.each_s": wall_s / valid, **counted} if valid else counted


def is_valid(text: str, schema: dict[str, object]) -> bool:
    """Whether the text is a JSON document that the schema allows."""
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


async def _at_once(client: Client, chats: Sequence[Sequence[Message]], max_tokens: int) -> Outcome:
    answers: list[Answer] = []

    async def ask(chat: Sequence[Message]) -> None:
        answers.append(await client.ask(chat, max_tokens, ignore_eos=True))

    began = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for chat in chats:
            tasks.start_soon(ask, chat)
    return Outcome(time.perf_counter() - began, answers)


WORKLOADS: dict[str, Workload] = {
    "shared": run_shared,
    "agents": run_agents,
    "unique": run_unique,
    "decode": run_decode,
    "intrusion": run_intrusion,
    "objects": run_objects,
}
"""By name, in their order."""
