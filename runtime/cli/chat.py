"""`lar chat`: one question, or a conversation line by line; the answer streams to stdout."""

import argparse
import sys
import time

from runtime.api.client import LarClient
from runtime.cli.calls import call_server
from runtime.cli.launcher import ensure_server
from runtime.cli.output import EXIT_USAGE, CommandFailed, notice, say, say_json, stream
from runtime.cli.place import Place, find_place
from runtime.cli.progress import install_with_progress
from runtime.core.ids import ModelId
from runtime.core.messages import Message
from runtime.instance import Instance


def chat(chosen: argparse.Namespace) -> int:
    """Ask once if there is a prompt, else talk until the input ends."""
    place = find_place()
    server = ensure_server(place)
    model, prompt = _model_and_prompt(place, server, chosen.words)
    call_server(server, lambda client: install_with_progress(client, model))
    history = [Message(role="system", content=chosen.system)] if chosen.system else []
    if prompt is not None:
        _ask(server, model, [*history, Message(role="user", content=prompt)], chosen)
        return 0

    return _talk(server, model, history, chosen)


def _model_and_prompt(place: Place, server: Instance, words: list[str]) -> tuple[ModelId, str | None]:
    """Tell model and prompt apart: a first word that names a model is one; a pipe adds to the prompt."""
    known = {each.id for each in call_server(server, LarClient.state).models}
    model = place.settings.models.default
    if words and words[0] in known:
        model, words = ModelId(words[0]), words[1:]
    elif len(words) > 1:
        names = ", ".join(sorted(known))
        raise CommandFailed(
            f"'{words[0]}' is no model. Known: {names}. Put a prompt of several words in quotes.", EXIT_USAGE
        )

    parts = [" ".join(words)] if words else []
    if not sys.stdin.isatty():
        parts.append(sys.stdin.buffer.read().decode("utf-8", "replace"))
    prompt = "\n\n".join(part for part in parts if part.strip())
    if not prompt and not sys.stdin.isatty():
        raise CommandFailed("There is nothing to ask: the input is empty.", EXIT_USAGE)

    return model, prompt or None


def _talk(server: Instance, model: ModelId, history: list[Message], chosen: argparse.Namespace) -> int:
    notice(f"Talking to {model}. An empty line or Ctrl-D ends it; 'lar' opens the console.")
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            return 0

        if not prompt.strip():
            return 0

        history.append(Message(role="user", content=prompt))
        answer = _ask(server, model, history, chosen)
        history.append(Message(role="assistant", content=answer))


def _ask(server: Instance, model: ModelId, messages: list[Message], chosen: argparse.Namespace) -> str:
    """Stream one answer to stdout and return it."""
    wishes = {"temperature": chosen.temperature, "max_tokens": chosen.max_tokens}
    options = {name: value for name, value in wishes.items() if value is not None}
    parts: list[str] = []
    facts: dict[str, object] = {"model": model}

    async def work(client: LarClient) -> None:
        began = time.monotonic()
        async for piece in client.chat(model, messages, **options):
            parts.append(piece.text)
            if not chosen.json:
                stream(piece.text)
            facts["finish_reason"] = piece.finish_reason or facts.get("finish_reason")
            facts["completion_tokens"] = piece.completion_tokens or facts.get("completion_tokens")
        facts["seconds"] = round(time.monotonic() - began, 3)

    call_server(server, work)
    answer = "".join(parts)
    if chosen.json:
        say_json({**facts, "content": answer})
    else:
        say()
    return answer
