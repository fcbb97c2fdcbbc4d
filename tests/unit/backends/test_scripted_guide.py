"""The guide keeps its word: each cue is there, each example is Python, and says what the engine does."""

import ast
import re
from pathlib import Path

from runtime.backends.engines.scripted.answer import Script, decide_script
from runtime.backends.engines.scripted.cues import CUE_NAMES, read_cues
from runtime.backends.engines.scripted.pieces import count_pieces
from runtime.backends.protocol import Generate

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "scripted.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)


def texts(source: str) -> list[str]:
    """Return every string in a piece of Python that holds a cue."""
    found = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [text for text in found if isinstance(text, str) and "[[" in text]


def test_every_cue_has_a_section_with_an_example_that_uses_it() -> None:
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^#|\Z)", GUIDE, flags=re.DOTALL | re.MULTILINE))

    assert sorted(sections) == list(CUE_NAMES)
    for name, section in sections.items():
        (example,) = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
        assert any(re.search(rf"\[\[{name}\b", text) for text in texts(example)), name


def test_every_example_is_python_and_its_cues_are_readable() -> None:
    assert len(EXAMPLES) > len(CUE_NAMES)
    for example in EXAMPLES:
        for text in texts(example):
            read_cues(text, "messages[0].content")


def test_every_cue_stands_in_the_table() -> None:
    assert sorted(re.findall(r"^\| \[`\[\[([\w-]+)", GUIDE, flags=re.MULTILINE)) == list(CUE_NAMES)


def test_the_answers_that_the_guide_promises_are_given() -> None:
    first = decide_script(Generate(seq=1, messages=[{"role": "user", "content": "Good morning, house!"}]))

    assert isinstance(first, Script)
    assert f"# {first.text}\n" in EXAMPLES[0]
    assert f"# {count_pieces(first.text)}\n" in EXAMPLES[0]
    assert count_pieces("You said: hello!") == 5
