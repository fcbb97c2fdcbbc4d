"""OAuth for remote servers: the SDK's flows, with Lar's vault for the tokens and a person who logs in.

The person's browser comes back to Lar's own address; the state in the request says which login it ends.
"""

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from runtime.core.settings import McpOAuth
from runtime.mcp.client_keys import KeyUnusable, read_client_key
from runtime.mcp.config import ConfigInvalid, ServerEntry
from runtime.mcp.variables import VariableMissing, expand
from runtime.mcp.vault import Kept, Vault

CALLBACK_PATH = "/api/mcp/callback"
LOGIN_LIMIT_S = 300.0
"""For the person to log in."""


class LoginNeeded(Exception):
    """The server wants somebody to log in; the message says how."""


class Login:
    """One person's login at one server, under way."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.url = ""
        """Where the person goes."""
        self.state = ""
        self.fault = ""
        self.moved = anyio.Event()
        """Set once the address is known, or none is needed, or it failed."""
        self._returned = anyio.Event()
        self._result: AuthorizationCodeResult | None = None

    async def redirect(self, url: str) -> None:
        """Take note of where the person must go. Raises LoginNeeded for an address that is no web page."""
        if urlsplit(url).scheme not in ("http", "https"):
            raise LoginNeeded(f"the server names an address that is no web page: {url[:100]}")
        self.url = url
        self.state = parse_qs(urlsplit(url).query).get("state", [""])[0]
        self.moved.set()

    async def result(self) -> AuthorizationCodeResult:
        """Wait until the person is back. Raises TimeoutError."""
        with anyio.fail_after(LOGIN_LIMIT_S):
            await self._returned.wait()
        assert self._result is not None
        return self._result

    def give_back(self, code: str, issuer: str | None) -> None:
        """Take what the person's browser has brought."""
        self._result = AuthorizationCodeResult(code=code, state=self.state, iss=issuer)
        self._returned.set()


class _Storage:
    """The SDK's storage over the vault."""

    def __init__(
        self, vault: Vault, entry: ServerEntry, url: str, client: OAuthClientInformationFull | None
    ) -> None:
        self._vault = vault
        self._server = entry.name
        self._url = url
        self._client = client

    async def get_tokens(self) -> OAuthToken | None:
        kept = await self._kept()
        return None if kept.tokens is None else OAuthToken.model_validate_json(kept.tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        kept = await self._kept()
        kept.tokens = tokens.model_dump_json(exclude_none=True)
        await anyio.to_thread.run_sync(self._vault.keep, self._server, kept)

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        kept = await self._kept()
        if self._client is not None or kept.client is None:
            return self._client
        return OAuthClientInformationFull.model_validate_json(kept.client)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        kept = await self._kept()
        kept.client = client_info.model_dump_json(exclude_none=True)
        await anyio.to_thread.run_sync(self._vault.keep, self._server, kept)

    async def _kept(self) -> Kept:
        return await anyio.to_thread.run_sync(self._vault.find, self._server, self._url)


async def find_auth(
    entry: ServerEntry,
    url: str,
    vault: Vault,
    environment: Mapping[str, str],
    callback: str,
    login: Login | None = None,
) -> httpx2.Auth | None:
    """Return what authenticates requests to a server; None where it has never asked for it.

    Raises ConfigInvalid, VaultUnreadable.
    """
    told = entry.config.oauth
    if told is not None and told.grant == "client_credentials":
        return await _own_credentials(entry, told, url, vault, environment)
    kept = await anyio.to_thread.run_sync(vault.find, entry.name, url)
    if login is None and kept.tokens is None:
        return None

    told = told or McpOAuth()
    metadata = OAuthClientMetadata(
        client_name="Lar", redirect_uris=[AnyUrl(callback)], scope=" ".join(told.scopes) or None
    )
    client = None
    if told.client_id:
        secret = (
            _resolve(entry, "clientSecret", told.client_secret, environment) if told.client_secret else None
        )
        client = OAuthClientInformationFull(
            client_id=_resolve(entry, "clientId", told.client_id, environment),
            client_secret=secret,
            redirect_uris=[AnyUrl(callback)],
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
        )
    return OAuthClientProvider(
        url,
        metadata,
        _Storage(vault, entry, url, client),
        redirect_handler=login.redirect if login else _refuse(entry),
        callback_handler=login.result if login else None,
        client_metadata_url=told.client_metadata_url,
    )


async def _own_credentials(
    entry: ServerEntry, told: McpOAuth, url: str, vault: Vault, environment: Mapping[str, str]
) -> httpx2.Auth:
    """Return what logs Lar in as itself, by a secret or by its signature. Raises ConfigInvalid."""
    storage = _Storage(vault, entry, url, None)
    client_id = _resolve(entry, "clientId", told.client_id, environment)
    scope = " ".join(told.scopes) or None
    if told.private_key_file is None:
        secret = _resolve(entry, "clientSecret", told.client_secret, environment)
        return ClientCredentialsOAuthProvider(
            url, storage, client_id=client_id, client_secret=secret, scope=scope, issuer=told.issuer
        )

    path = _resolve(entry, "privateKeyFile", told.private_key_file, environment)
    try:
        key = await anyio.to_thread.run_sync(read_client_key, vault.home, path)
    except KeyUnusable as problem:
        message = f"{entry.origin}: {entry.name}: oauth.privateKeyFile: {problem}."
        raise ConfigInvalid(message) from problem
    signed = SignedJWTParameters(
        issuer=client_id, subject=client_id, signing_key=key.pem, signing_algorithm=key.algorithm
    )
    return PrivateKeyJWTOAuthProvider(
        url,
        storage,
        client_id=client_id,
        assertion_provider=signed.create_assertion_provider(),
        scope=scope,
        issuer=told.issuer,
    )


def _refuse(entry: ServerEntry) -> Callable[[str], Awaitable[None]]:
    async def refuse(url: str) -> None:
        del url
        raise LoginNeeded(f"the login has ended: lar mcp login {entry.name}")

    return refuse


def _resolve(entry: ServerEntry, field: str, text: str | None, environment: Mapping[str, str]) -> str:
    try:
        return expand(text or "", environment)
    except VariableMissing as problem:
        raise ConfigInvalid(f"{entry.origin}: {entry.name}: oauth.{field}: {problem}.") from problem
