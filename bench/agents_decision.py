"""Whether a model that is asked first chooses tools better: 40 tasks, half of which need one of the tools.

    python -m bench.agents_decision [MODEL]

`free` is the turn of an agent as it is; `step` puts the decision before it (`decide_first`), as agents do.
The other ways are those that were tried beside it: the choice read from the first token's probabilities,
examples in the question, and asking yes or no before which. Temperature 0; the prompts are those of a run.
"""

import math
import string
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from bench.installed import install_default_model, serve
from runtime.core.agents.deciding import choice_after_decision, decision_request
from runtime.core.agents.fold import RunState, fold
from runtime.core.agents.items import Said, Text
from runtime.core.agents.plans import Plan, PlannedTool
from runtime.core.agents.prompting import request_of
from runtime.core.agents.steps import RunOpened
from runtime.core.gate.principals import OWNER
from runtime.core.ids import ModelId
from runtime.core.messages import ChatRequest, FunctionTool
from runtime.core.settings import DEFAULT_MODEL
from tests.kit.server import RunningServer

_INSTRUCTIONS = "You help with a person's files, dates and messages. Use a tool where one is needed."
_TOKENS = 48
"""Of an answer: whether it is a call shows at once."""
_TOOLS: dict[str, tuple[str, dict[str, str]]] = {
    "list_files": ("List the files of a folder.", {"folder": "Such as 'letters'."}),
    "read_file": ("Read what a file says.", {"path": "The file."}),
    "write_file": ("Write a text into a file.", {"path": "The file.", "text": "What it shall say."}),
    "current_time": ("Tell the time and the date of now.", {"timezone": "Such as Europe/Lisbon."}),
    "search_documents": ("Search the person's documents for passages.", {"query": "What to look for."}),
    "send_mail": ("Send a mail to somebody.", {"to": "The address.", "text": "The message."}),
    "get_weather": ("Tell the weather of a city.", {"city": "The city."}),
    "calculate": ("Work out a sum exactly.", {"expression": "Such as 12 * 7."}),
}


class Task(NamedTuple):
    """One question, the tools that are offered, and the one that is needed; empty: none."""

    question: str
    tools: tuple[str, ...]
    needed: str = ""


class Found(NamedTuple):
    """What a way of asking came to over all tasks."""

    called: int
    """Of the tasks that need a tool: those in which some tool was called."""
    right: int
    """Of these: the right one."""
    answered: int
    """Of the tasks that need none: those in which none was called."""
    seconds: float


_FILES = ("list_files", "read_file", "write_file")
_ALL = (*_FILES, "current_time", "search_documents", "calculate")
TASKS = (
    Task("Which files are in the folder letters?", _FILES, "list_files"),
    Task("Show me all that lies in the folder invoices.", _ALL, "list_files"),
    Task("What does the file notes.txt say?", _FILES, "read_file"),
    Task("Open todo.md and tell me the first line.", _ALL, "read_file"),
    Task("Read budget.csv to me.", ("read_file", "send_mail"), "read_file"),
    Task("Save the text 'buy milk' as shopping.txt.", _FILES, "write_file"),
    Task("Make a file hello.txt which says hello.", _ALL, "write_file"),
    Task("What time is it now in Tokyo?", ("current_time", "get_weather"), "current_time"),
    Task("Which day is it today?", _ALL, "current_time"),
    Task("How late is it?", ("send_mail", "current_time", "calculate"), "current_time"),
    Task("What do my documents say about the roof?", _ALL, "search_documents"),
    Task(
        "Find the contract about the garden in my documents.",
        ("search_documents", "get_weather"),
        "search_documents",
    ),
    Task("Look in my documents for the warranty of the dishwasher.", _ALL, "search_documents"),
    Task("Write a mail to ana@example.org that I come at nine.", ("send_mail", *_FILES), "send_mail"),
    Task("Send bob@example.org a message: the meeting is off.", ("get_weather", "send_mail"), "send_mail"),
    Task("What is the weather in Porto?", ("get_weather", "current_time", "calculate"), "get_weather"),
    Task("Does it rain in Lisbon just now?", ("get_weather", *_ALL[:5]), "get_weather"),
    Task("What is 4817 times 392?", ("calculate", "get_weather"), "calculate"),
    Task("Work out 1299 / 7 + 88.", _ALL, "calculate"),
    Task("How much is 17.5 percent of 2380?", ("calculate", "current_time", "send_mail"), "calculate"),
    Task("Hello! How are you?", _ALL),
    Task("Thank you, that was all.", _FILES),
    Task("Who are you and what can you do for me?", _ALL),
    Task("What is the capital of France?", _ALL),
    Task("Write a short poem about the sea.", ("get_weather", "current_time")),
    Task("Explain in one sentence what a prime number is.", ("calculate", "get_weather")),
    Task("Translate 'good morning' into Spanish.", ("send_mail", "read_file")),
    Task("Name three colours.", _FILES),
    Task("Which is larger, a cat or an elephant?", ("calculate", "search_documents")),
    Task("Give me a synonym for 'happy'.", _ALL),
    Task("Say hello in French.", ("send_mail", "get_weather")),
    Task("Why is the sky blue?", ("get_weather", "search_documents")),
    Task("Tell me a joke.", _FILES),
    Task("Rewrite this more politely: Give me the book.", ("write_file", "send_mail")),
    Task("What is the opposite of cold?", ("get_weather", "calculate")),
    Task("How many days has a week?", ("current_time", "calculate")),
    Task("Is 'their' a pronoun?", ("search_documents", "read_file")),
    Task("Suggest a name for a dog.", _ALL),
    Task("What is ice made of?", ("get_weather", "search_documents", "calculate")),
    Task("Sum up in five words: The meeting was long and nothing was decided.", ("send_mail", "write_file")),
)
_MUSIC = "- play_music: Play a song.\n- book_table: Book a table in a restaurant."
_TRAIN = "- find_train: Find trains between two places.\n- take_note: Keep a note."
_EXAMPLES = (
    (_MUSIC, "Play something by Mozart.", "play_music"),
    (_MUSIC, "Good evening!", "none"),
    (_TRAIN, "When does the next train to Berlin leave?", "find_train"),
    (_TRAIN, "What is the capital of Italy?", "none"),
    (_MUSIC, "Tell me a story.", "none"),
    (_TRAIN, "Note that the key is under the mat.", "take_note"),
)
"""What others asked with other tools, and what was needed."""

Ask = Callable[[RunState], str]
"""Returns the name of the tool that is called, or nothing."""


class Asking:
    """A server's model, asked in each of the ways."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self._client = server.openai(timeout=600)
        self.model = model

    def free(self, state: RunState) -> str:
        """Call or answer, as it likes."""
        return _called(self._send(_body(request_of(state, pictures={}))))

    def step(self, state: RunState) -> str:
        """Decide by a constrained choice, then the turn as it was decided."""
        state.decision = self._text(_body(decision_request(state, {})))
        return self._after(state)

    def examples(self, state: RunState) -> str:
        """Decide after six examples, three of which need no tool."""
        body = _body(decision_request(state, {}))
        messages = [{"role": "system", "content": "You choose the tool that a request needs, or none."}]
        for listed, asked, needed in _EXAMPLES:
            messages.append({"role": "user", "content": _which(listed, asked)})
            messages.append({"role": "assistant", "content": f'{{"tool": "{needed}"}}'})
        asked = next(each.text for each in state.conversation if isinstance(each, Said))
        body["messages"] = [*messages, {"role": "user", "content": _which(_listed(state), asked)}]
        state.decision = self._text(body)
        return self._after(state)

    def letters(self, state: RunState) -> str:
        """Take the likeliest first token among letters that stand for the tools."""
        scores = self._letters(state, state.conversation)
        return _best(scores, state)

    def letters_less(self, state: RunState) -> str:
        """Do the same less what the letters get without a question."""
        empty = Said(id="", role="user", parts=(Text(text="N/A"),))
        own, usual = self._letters(state, state.conversation), self._letters(state, [empty])
        return _best([one - other for one, other in zip(own, usual, strict=True)], state)

    def yes_first(self, state: RunState) -> str:
        """Yes or no from the first token's probabilities, then which by a constrained choice."""
        question = "Can this only be done with one of the tools? Answer Yes or No."
        body = self._plain(state.conversation, f"{_listed(state)}\n{question}")
        found = self._first(body)
        if found.get("Yes", -20.0) <= found.get("No", -20.0):
            return ""

        body = _body(decision_request(state, {}))
        names = body["response_format"]["json_schema"]["schema"]["properties"]["tool"]["enum"]
        names.remove("none")
        state.decision = self._text(body)
        return self._after(state)

    def _after(self, state: RunState) -> str:
        choice = choice_after_decision(state)
        if choice is not None and choice.mode == "none":
            return ""
        if choice is not None and choice.names:
            return choice.names[0]  # forced: the turn can give nothing else
        return self.free(state)

    def _letters(self, state: RunState, conversation: list[Any]) -> list[float]:
        tools = [*(f"{each.name}: {each.description}" for each in state.plan.tools), "no tool is needed"]
        lines = [f"{letter}) {each}" for letter, each in zip(string.ascii_uppercase, tools, strict=False)]
        question = "\n".join(["Which is needed to do what was asked?", *lines, "Answer with one letter."])
        found = self._first(self._plain(conversation, question))
        return [found.get(letter, -20.0) for letter in string.ascii_uppercase[: len(tools)]]

    def _plain(self, conversation: list[Any], question: str) -> dict[str, Any]:
        asked = next(each.text for each in reversed(conversation) if isinstance(each, Said))
        return {
            "messages": [
                {"role": "system", "content": _INSTRUCTIONS},
                {"role": "user", "content": f"{asked}\n\n{question}"},
            ]
        }

    def _first(self, body: dict[str, Any]) -> dict[str, float]:
        answer = self._send(body | {"max_tokens": 1, "logprobs": True, "top_logprobs": 20})
        found: dict[str, float] = {}
        for each in answer.choices[0].logprobs.content[0].top_logprobs:
            name = each.token.strip(" ()").rstrip(":.)")
            found[name] = math.log(math.exp(found.get(name, -50.0)) + math.exp(each.logprob))
        return found

    def _text(self, body: dict[str, Any]) -> str:
        return self._send(body).choices[0].message.content or ""

    def _send(self, body: dict[str, Any]) -> Any:
        told = {"max_tokens": _TOKENS, **body, "model": self.model, "temperature": 0.0, "seed": 1}
        return self._client.chat.completions.create(**told)


WAYS = ("free", "step", "examples", "letters", "letters_less", "yes_first")


def measure(asking: Asking, way: str) -> Found:
    """Ask all tasks in one way."""
    ask: Ask = getattr(asking, way)
    begun = time.perf_counter()
    called = right = answered = 0
    for task in TASKS:
        name = ask(_state(task, asking.model))
        if task.needed:
            called += bool(name)
            right += name == task.needed
        else:
            answered += not name
    return Found(called, right, answered, time.perf_counter() - begun)


def run(model: str = DEFAULT_MODEL) -> None:
    """Print what each way came to; installs the default model if need be."""
    with serve(install_default_model()) as server:
        tell(Asking(server, model))


def tell(asking: Asking) -> None:
    """Measure and print."""
    half = sum(bool(each.needed) for each in TASKS)
    print(f"{asking.model}: {half} tasks need a tool, {len(TASKS) - half} need none")
    for way in WAYS:
        found = measure(asking, way)
        whole = found.right + found.answered
        print(
            f"  {way:13} called {found.called:2}/{half}   right tool {found.right:2}/{half}   "
            f"left alone {found.answered:2}/{len(TASKS) - half}   all {whole:2}/{len(TASKS)}   "
            f"{found.seconds / len(TASKS):.2f} s each",
            flush=True,
        )


def _state(task: Task, model: str) -> RunState:
    plan = Plan(
        principal=OWNER,
        agent="bench",
        models=(ModelId(model),),
        instructions=_INSTRUCTIONS,
        tools=tuple(_tool(name) for name in task.tools),
        decides_first=True,
    )
    said = Said(id="msg_1", role="user", parts=(Text(text=task.question),))
    return fold([RunOpened(at=0.0, plan=plan, input=(said,))])


def _tool(name: str) -> PlannedTool:
    description, arguments = _TOOLS[name]
    properties = {key: {"type": "string", "description": text} for key, text in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(arguments)}
    return PlannedTool(name=name, description=description, parameters=parameters, executor="hub")


def _body(request: ChatRequest) -> dict[str, Any]:
    """Return a request of an agent's turn as the API takes it."""
    body: dict[str, Any] = {"messages": [msgspec.to_builtins(each) for each in request.messages]}
    for message in body["messages"]:
        for name in [name for name, value in message.items() if value in (None, [], ())]:
            del message[name]
    tools = [each for each in request.tools if isinstance(each, FunctionTool)]
    if tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": each.name,
                    "description": each.description,
                    "parameters": each.parameters,
                },
            }
            for each in tools
        ]
    wanted = request.response_format
    if wanted.type == "json_schema":
        schema = {"name": wanted.name, "schema": dict(wanted.schema or {}), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _called(answer: Any) -> str:
    calls = answer.choices[0].message.tool_calls
    return calls[0].function.name if calls else ""


def _which(listed: str, asked: str) -> str:
    return f"Tools:\n{listed}\n- none: no tool.\n\nRequest: {asked}\n\nWhich tool?"


def _listed(state: RunState) -> str:
    return "\n".join(f"- {each.name}: {each.description}" for each in state.plan.tools)


def _best(scores: list[float], state: RunState) -> str:
    place = scores.index(max(scores))
    return state.plan.tools[place].name if place < len(state.plan.tools) else ""


if __name__ == "__main__":
    run(*sys.argv[1:2])
