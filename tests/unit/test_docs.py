"""What the documents say of settings, commands and cues is what the code does."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from runtime.core.settings import McpOAuth, McpSandbox, McpServer, OwnModel, Settings, WebhookSettings

ROOT = Path(__file__).parents[2]
SETTINGS_PAGE = (ROOT / "docs/guides/settings.md").read_text(encoding="utf-8")
SECTIONS = [field for field in msgspec.structs.fields(Settings) if field.name not in ("model", "webhooks")]


def told_default(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda field: field.name)
def test_every_setting_is_documented_with_its_default(section: msgspec.structs.FieldInfo) -> None:
    for field in msgspec.structs.fields(section.type):
        default = {} if field.default_factory is dict else field.default
        assert f"| `{section.name}.{field.name}` | `{told_default(default)}` |" in SETTINGS_PAGE


def test_every_documented_setting_exists() -> None:
    known = {
        f"{section.name}.{field.name}"
        for section in SECTIONS
        for field in msgspec.structs.fields(section.type)
    }

    assert set(re.findall(r"^\| `(\w+\.\w+)`", SETTINGS_PAGE, re.MULTILINE)) == known


def test_every_setting_of_an_mcp_server_is_documented() -> None:
    page = (ROOT / "docs/guides/mcp-servers.md").read_text(encoding="utf-8")
    for kind, prefix in ((McpServer, ""), (McpSandbox, "sandbox."), (McpOAuth, "oauth.")):
        for field in msgspec.structs.fields(kind):
            assert f"| `{prefix}{field.name}` |" in page or field.name in ("sandbox", "oauth")


def test_every_setting_of_a_webhook_is_documented() -> None:
    for field in msgspec.structs.fields(WebhookSettings):
        assert f"| `{field.name}` |" in SETTINGS_PAGE.partition("## Webhooks")[2]


def test_every_model_setting_is_documented() -> None:
    for field in msgspec.structs.fields(OwnModel):
        assert f"`{field.name}`" in SETTINGS_PAGE


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{page} links to {target}"
