"""Prompt templates as files that people can read: `$LAR_HOME/prompts/<id>.yaml`, with all their versions.

    id: weather                       or, with a history:     id: weather
    text: You know {{city}} well.                             version: "2"
    defaults: {city: Lisbon}                                  versions: {"1": {text: …}, "2": {messages: […]}}
Tenants other than the local one have folders of their own. A look reads what has changed since the last one.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.to_thread
import msgspec
import yaml

from runtime.api.responses.errors import prompt_not_found
from runtime.api.responses.prompts import PromptTemplate
from runtime.core.errors import Conflict, Fault, LarError, NotFound, RequestInvalid
from runtime.core.ids import LOCAL_TENANT, TenantId
from runtime.core.writing import write_private

FOLDER = "prompts"
LARGEST_CHARACTERS = 1_000_000
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SUFFIX = ".yaml"

PromptId = Annotated[str, msgspec.Meta(pattern=rf"^{_ID.pattern}$")]
VersionName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class PromptVersion(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a template says."""

    text: str = ""
    """The instructions; `{{name}}` stands for a variable."""
    messages: tuple[dict[str, Any], ...] = ()
    """In the words of the Responses API, before those of a request."""
    model: str | None = None
    tools: tuple[dict[str, Any], ...] = ()
    defaults: dict[str, str] = {}
    """Of variables that a request leaves out."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A template with all its versions."""

    id: str
    version: str
    """That is meant where none is named."""
    versions: dict[str, PromptVersion]
    fault: str = ""
    """Why its file cannot be read; it has no versions then."""


class _File(PromptVersion, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a file holds: one version in place, or several by name."""

    id: PromptId
    version: VersionName | int | None = None
    versions: dict[VersionName, PromptVersion] = {}


class PromptBook:
    """The templates of a home. Fulfils `Prompts`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER
        self._lock = anyio.Lock()

    async def find(self, tenant: TenantId, prompt: str, version: str | None) -> PromptTemplate:
        """Return one as requests use it. Raises Refused (404), RequestInvalid."""
        try:
            found = await self.show(tenant, prompt)
        except NotFound:
            raise prompt_not_found(prompt, version) from None
        name = version or found.version
        said = found.versions.get(name)
        if said is None:
            raise prompt_not_found(prompt, version)
        return template_of(found.id, name, said)

    async def list_prompts(self, tenant: TenantId) -> list[Prompt]:
        """Return all by id, those whose files cannot be read included."""
        return await anyio.to_thread.run_sync(self._all, tenant)

    async def show(self, tenant: TenantId, prompt: str) -> Prompt:
        """Return one. Raises NotFound, RequestInvalid."""
        return await anyio.to_thread.run_sync(self._read, tenant, prompt)

    async def create(self, tenant: TenantId, prompt: str, said: PromptVersion) -> Prompt:
        """Make one. Raises Conflict where the id is taken."""
        made = Prompt(id=prompt, version="1", versions={"1": said})
        async with self._lock:
            if await anyio.to_thread.run_sync(self._path(tenant, prompt).exists):
                message = f"There is a prompt '{prompt}' already. Change it, or take another id."
                raise Conflict(Fault(code="conflict", message=message, param="id"))
            await anyio.to_thread.run_sync(self._write, tenant, made)
        return made

    async def add_version(self, tenant: TenantId, prompt: str, said: PromptVersion) -> Prompt:
        """Let a template say something else from now on; former versions stay. Raises NotFound."""
        async with self._lock:
            former = await anyio.to_thread.run_sync(self._read, tenant, prompt)
            numbers = [int(each) for each in former.versions if each.isascii() and each.isdecimal()]
            name = str(max(numbers, default=0) + 1)
            changed = Prompt(id=prompt, version=name, versions={**former.versions, name: said})
            await anyio.to_thread.run_sync(self._write, tenant, changed)
        return changed

    async def choose(self, tenant: TenantId, prompt: str, version: str) -> Prompt:
        """Let another version be the one that is meant. Raises NotFound."""
        async with self._lock:
            former = await anyio.to_thread.run_sync(self._read, tenant, prompt)
            if version not in former.versions:
                message = f"The prompt '{prompt}' has no version '{version[:64]}'."
                raise NotFound(Fault(code="not_found", message=message, param="version"))
            changed = msgspec.structs.replace(former, version=version)
            await anyio.to_thread.run_sync(self._write, tenant, changed)
        return changed

    async def remove(self, tenant: TenantId, prompt: str) -> None:
        """Forget one with all its versions. Raises NotFound."""
        async with self._lock:
            try:
                await anyio.to_thread.run_sync(self._path(tenant, prompt).unlink)
            except FileNotFoundError:
                raise _unknown(prompt) from None

    def _place(self, tenant: TenantId) -> Path:
        return self._folder if tenant == LOCAL_TENANT else self._folder / f"@{tenant}"

    def _path(self, tenant: TenantId, prompt: str) -> Path:
        if not _ID.fullmatch(prompt):
            raise _unknown(prompt)
        return self._place(tenant) / f"{prompt}{_SUFFIX}"

    def _all(self, tenant: TenantId) -> list[Prompt]:
        folder = self._place(tenant)
        names = sorted(each.stem for each in folder.glob(f"*{_SUFFIX}")) if folder.is_dir() else []
        return [self._shown(tenant, each) for each in names if _ID.fullmatch(each)]

    def _shown(self, tenant: TenantId, prompt: str) -> Prompt:
        try:
            return self._read(tenant, prompt)
        except LarError as problem:
            return Prompt(id=prompt, version="", versions={}, fault=problem.fault.message)

    def _read(self, tenant: TenantId, prompt: str) -> Prompt:
        path = self._path(tenant, prompt)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise _unknown(prompt) from None
        except (OSError, UnicodeError) as problem:
            raise _invalid(f"{path.name} cannot be read: {problem}.") from problem
        return read_prompt(text, path.name)

    def _write(self, tenant: TenantId, prompt: Prompt) -> None:
        told = msgspec.to_builtins(prompt)
        text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
        write_private(self._path(tenant, prompt.id), text)


def template_of(prompt: str, version: str, said: PromptVersion) -> PromptTemplate:
    """Return a version as requests use it."""
    return PromptTemplate(
        id=prompt,
        version=version,
        model=said.model,
        instructions=said.text,
        input=said.messages,
        tools=said.tools,
        defaults=said.defaults,
    )


def read_prompt(text: str, origin: str) -> Prompt:
    """Read what a file holds. Raises RequestInvalid."""
    if len(text) > LARGEST_CHARACTERS:
        raise _invalid(f"{origin} has more than {LARGEST_CHARACTERS:,} characters.")
    try:
        written = yaml.safe_load(text)
        if isinstance(written, dict) and isinstance(written.get("versions"), dict):
            # Whoever writes 1 instead of "1" means the same.
            written["versions"] = {str(name): each for name, each in written["versions"].items()}
        told = msgspec.convert(written, _File)
    except yaml.YAMLError as problem:
        raise _invalid(f"{origin}: {getattr(problem, 'problem', None) or problem}.") from problem
    except msgspec.ValidationError as problem:
        raise _invalid(f"{origin}: {problem}.") from problem

    if f"{told.id}{_SUFFIX}" != origin:
        raise _invalid(f"{origin} holds the prompt '{told.id}'. Call the file {told.id}{_SUFFIX}.")
    if not told.versions:
        fields = {name: getattr(told, name) for name in PromptVersion.__struct_fields__}
        name = "1" if told.version is None else str(told.version)
        return Prompt(id=told.id, version=name, versions={name: PromptVersion(**fields)})

    version = max(told.versions, key=_rank) if told.version is None else str(told.version)
    if version not in told.versions:
        raise _invalid(f"{origin}: 'version' names '{version}', which is not among 'versions'.")
    return Prompt(id=told.id, version=version, versions=told.versions)


def _rank(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isascii() and version.isdecimal() else (-1, version)


def _invalid(message: str) -> RequestInvalid:
    return RequestInvalid(Fault(code="invalid_request", message=message))


def _unknown(prompt: str) -> NotFound:
    return NotFound(Fault(code="not_found", message=f"There is no prompt '{prompt[:80]}'."))
