"""A protected MCP server and its authorization server in one: `oauth_mcp_server.py PORT PUBLIC_KEY_FILE`.

It registers clients, sends browsers straight back with a code (PKCE, RFC 9207), and knows both grants. The
robot tells its secret, or signs with the key whose other half lies in the file (RFC 7523).
"""

import base64
import hashlib
import secrets
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jwt
from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from pydantic import AnyHttpUrl
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

PORT = int(sys.argv[1])
ROBOT_KEY = Path(sys.argv[2]).read_text()
BASE = f"http://127.0.0.1:{PORT}"
ISSUER = f"{BASE}/"
"""As the SDK's own metadata of the resource write it."""
TOKENS: set[str] = set()
CODES: dict[str, dict[str, str]] = {}
CLIENTS: dict[str, dict[str, Any]] = {"robot": {"client_id": "robot", "client_secret": "robot-secret"}}


class Verifier:
    async def verify_token(self, token: str) -> AccessToken | None:
        if token not in TOKENS:
            return None
        return AccessToken(token=token, client_id="x", scopes=["use"], expires_at=int(time.time()) + 600)


server = MCPServer(
    "protected",
    token_verifier=Verifier(),
    auth=AuthSettings(
        issuer_url=AnyHttpUrl(BASE),
        resource_server_url=AnyHttpUrl(f"{BASE}/mcp"),
        required_scopes=["use"],
    ),
)


@server.tool()
def echo(text: str) -> str:
    "Return the text."
    return text


@server.custom_route("/.well-known/oauth-authorization-server", ["GET"])  # type: ignore[untyped-decorator]  # of the SDK
async def metadata(request: Request) -> Response:
    return JSONResponse(
        {
            "issuer": ISSUER,
            "authorization_endpoint": f"{BASE}/authorize",
            "token_endpoint": f"{BASE}/token",
            "registration_endpoint": f"{BASE}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_basic",
                "client_secret_post",
                "private_key_jwt",
            ],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "scopes_supported": ["use"],
            "authorization_response_iss_parameter_supported": True,
        }
    )


@server.custom_route("/register", ["POST"])  # type: ignore[untyped-decorator]  # of the SDK
async def register(request: Request) -> Response:
    told = await request.json()
    client = {**told, "client_id": secrets.token_hex(8), "token_endpoint_auth_method": "none"}
    CLIENTS[client["client_id"]] = client
    return JSONResponse(client, status_code=201)


@server.custom_route("/authorize", ["GET"])  # type: ignore[untyped-decorator]  # of the SDK
async def authorize(request: Request) -> Response:
    query = dict(request.query_params)
    client = CLIENTS.get(query["client_id"])
    if client is None or query["redirect_uri"] not in client["redirect_uris"]:
        return JSONResponse({"error": "invalid_client"}, status_code=400)
    code = secrets.token_hex(8)
    CODES[code] = query
    back = urlencode({"code": code, "state": query["state"], "iss": ISSUER})
    return RedirectResponse(f"{query['redirect_uri']}?{back}", status_code=302)


@server.custom_route("/token", ["POST"])  # type: ignore[untyped-decorator]  # of the SDK
async def token(request: Request) -> Response:
    form = {name: str(value) for name, value in (await request.form()).items()}
    if "client_assertion" in form:
        is_known = is_robot(form["client_assertion"])
    elif form["grant_type"] == "client_credentials":
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        is_known = base64.b64decode(basic) == b"robot:robot-secret"
    else:
        asked = CODES.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        is_known = asked is not None and asked["code_challenge"] == challenge
    if not is_known:
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    made = secrets.token_hex(16)
    TOKENS.add(made)
    return JSONResponse({"access_token": made, "token_type": "Bearer", "expires_in": 600, "scope": "use"})


def is_robot(assertion: str) -> bool:
    try:
        told = jwt.decode(assertion, ROBOT_KEY, algorithms=["ES256"], audience=ISSUER)
    except jwt.InvalidTokenError:
        return False
    return bool(told["iss"] == told["sub"] == "robot")


if __name__ == "__main__":
    server.run("streamable-http", host="127.0.0.1", port=PORT)
