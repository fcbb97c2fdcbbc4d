"""The panel that says how an install or a load goes: what, how much, how fast, how long left."""

from textual.content import Content
from textual.widget import Widget

from runtime.core.events import Progress
from runtime.core.states import ModelState
from tui.state import ViewState, chat_model, job_of
from tui.words import clean, fraction, progress_facts, size

_BAR = 40
"""Cells of the bar at most: wider ones say no more."""


def bar(known: float, width: int) -> tuple[str, str]:
    """Return the done and the undone part of a bar; readable without colour too."""
    done = round(known * width)
    return "━" * done, "─" * (width - done)


def panel(view: ViewState, width: int) -> Content | None:
    """Return what the panel says about the chat's model; None where there is nothing to say."""
    model = chat_model(view)
    if model is None or view.chat.agent:
        return None

    job = job_of(view, model)
    match model.stage:
        case "installing" | "loading":
            return _job(model, job or Progress(phase="starting"), width)
        case "available":
            return _job(model, Progress(phase="not installed yet: asking the server for it"), width)
        case "broken":
            return _fault(model)
        case "installed" | "loaded":
            return None


def _job(model: ModelState, job: Progress, width: int) -> Content:
    verb = "Loading" if model.stage == "loading" else "Installing"
    about = [size(model.size_bytes)] if model.size_bytes else []
    about += [model.licence] if model.licence else []
    title = Content.assemble(
        (f"{verb} {model.id}", "bold $foreground"), (f"  {' · '.join(about)}" if about else "", "$muted")
    )
    known = fraction(job)
    facts = " · ".join(progress_facts(job))
    lines = [title]
    if known is None:
        lines.append(
            Content.assemble((clean(job.phase), "$foreground"), (f"  {facts}" if facts else "", "$muted"))
        )
    else:
        lines.append(Content.styled(clean(job.phase), "$foreground"))
        done, undone = bar(known, max(8, min(_BAR, width - len(facts) - 2)))
        lines.append(Content.assemble((done, "$accent"), (undone, "$faint"), (f"  {facts}", "$foreground")))
    if model.stage != "loading":
        lines.append(Content.styled("You can write already: it is sent when the model is ready.", "$muted"))
    return Content("\n").join(lines)


def _fault(model: ModelState) -> Content:
    message = model.fault.message if model.fault else "The server did not say why."
    return Content("\n").join(
        [
            Content.styled(f"✖ {model.id} is broken", "bold $error"),
            Content.styled(clean(message), "$foreground"),
            Content.assemble(
                ("^r", "$accent"),
                (" try again   ", "$muted"),
                ("F5", "$accent"),
                (" another model", "$muted"),
            ),
        ]
    )


class ProgressPanel(Widget):
    """The panel itself; takes no room when there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self._content: Content | None = None

    def show(self, view: ViewState) -> None:
        """Draw the view."""
        found = panel(view, max(20, self.app.size.width - 6))
        if found is None:
            self.display = False
            return

        is_taller = self._content is None or len(found.plain) != len(self._content.plain)
        self.display = True
        self._content = found
        self.set_class(found.plain.startswith("✖"), "-fault")
        self.refresh(layout=is_taller)

    def render(self) -> Content:
        """Return the panel's words."""
        return self._content or Content("")
