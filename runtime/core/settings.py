"""Every setting of Lar as narrow structs with their defaults. `runtime.config` reads them from `lar.toml`.

Each component takes its own struct or plain values, never the whole.
"""

from typing import Annotated, Literal

import msgspec

from runtime.core.ids import ModelId

MIB = 1024 * 1024
GIB = 1024 * MIB

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]

DEFAULT_MODEL = ModelId("smollm2-135m-instruct")
DEFAULT_EMBEDDER = ModelId("all-minilm-l6-v2")


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[server]`: where the server listens and whom it answers."""

    host: str = "127.0.0.1"
    port: Port = 8080
    allow_remote_without_keys: bool = False
    """Bind beyond loopback although no key exists. Then everybody who reaches the port is the owner."""
    allowed_hosts: tuple[str, ...] = ()
    """Names besides localhost and the bound address that a request's Host header may carry."""
    allowed_origins: tuple[str, ...] = ()
    """Browser origins that may call; pages of other origins are refused."""
    max_body_bytes: Positive = 16 * MIB
    max_upload_bytes: Positive = 512 * MIB
    """An uploaded file, which is stored as it comes and never held in memory."""
    shutdown_grace_s: Seconds = 10.0
    """How long running generations may go on after a stop was asked for."""


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[admission]`: how many runs may wait for a model, and how long."""

    queue_limit: Annotated[int, msgspec.Meta(ge=0)] = 64
    queue_deadline_s: Seconds = 120.0


class JournalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[journal]`: how much history is kept."""

    keep_days: Seconds = 30.0
    keep_bytes: Positive = 1 * GIB
    """Upper bound of the events' size as stored text; the oldest go first."""


class ModelsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[models]`: which models stay in memory."""

    default: ModelId = DEFAULT_MODEL
    embedding: ModelId = DEFAULT_EMBEDDER
    """Turns texts into vectors where nobody names a model for it: Lar's own memory does."""
    max_loaded: Positive = 2
    memory_bytes: Positive | None = None
    """What all loaded models may take together; None: what the machine has free, less a reserve."""
    idle_unload_s: Seconds = 1800.0
    load_deadline_s: Seconds = 300.0


KvType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
"""How keys and values are stored, the most exact first."""


class ModelTuning(msgspec.Struct, frozen=True, kw_only=True):
    """How one model is run. None means: what the model's manifest or its file says."""

    context_tokens: Positive | None = None
    """Tokens of context that all sequences of the model share."""
    sequences: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """Generations side by side."""
    threads: Positive | None = None
    batch_tokens: Positive | None = None
    gpu_layers: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    """Layers that an accelerator takes, counted from the output; -1: all."""
    kv_type: KvType | None = None
    """How keys and values are stored."""
    cache_ram_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Prefixes that left the context are kept in memory up to so much; 0: none."""
    cache_disk_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """The same on disk, where they outlive the server."""
    speculation: bool | None = None
    """Whether tokens may be guessed ahead where that pays."""
    adapters: dict[str, str] | None = None
    """LoRA adapters that requests may ask for: name to file; relative paths start at lar.toml's folder."""
    projector: str | None = None
    """The weights that turn pictures into tokens; a path like the above."""
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    min_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    chat_template: str | None = None
    """A Jinja template in place of the one in the weights."""
    decides_first: bool | None = None
    """Whether agents ask it which tool is needed, if any, before it writes; helps small models."""


class OwnModel(ModelTuning, frozen=True, kw_only=True):
    """`[model.<id>]`: a model of the user's own, or other tuning for a known one."""

    engine: Literal["llama", "onnx"] = "llama"
    path: str | None = None
    """The weights. Relative paths start at the folder of lar.toml. None: a model of the catalogue."""


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[backends]`: how engines are installed."""

    extra_index_urls: tuple[str, ...] = ()
    """Package indexes to ask besides pip's own configuration, for instance one with prebuilt wheels."""
    allow_source_build: bool = True
    build_deadline_s: Seconds = 3600.0
    heartbeat_s: Seconds = 5.0
    silent_after_s: Seconds = 30.0
    step_limit_s: Seconds = 300.0
    """A single step of an engine that lasts longer is a hang, not work: long prompts are sliced."""
    stop_grace_s: Seconds = 5.0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[logs]`: the operator's log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    max_bytes: Positive = 10 * MIB
    keep_files: Positive = 5


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[console]`: how the console looks."""

    theme: str = "lar-dark"


class RecallSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[recall]`: the memory."""

    memory_bytes: Positive | None = None
    """What vectors and the database may take in main memory; None: a quarter of the machine's."""
    max_document_bytes: Positive = 256 * MIB
    read_limit_s: Seconds = 300.0
    """For one document to be read; what takes longer fails with `too_slow`."""
    readers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 2
    """Documents that are read side by side."""
    rerank: ModelId | None = None
    """A cross-encoder that looks at the best hits again, if it is installed."""
    snapshots: Annotated[int, msgspec.Meta(ge=0, le=365)] = 3
    """Nightly copies of the database that are kept; 0: none are made."""
    private_addresses: tuple[str, ...] = ()
    """Host names or networks (CIDR) beside the public ones that sources may be fetched from."""


class McpSandbox(msgspec.Struct, frozen=True, kw_only=True):
    """`[mcp.servers.<name>.sandbox]`: what a local server gets. Relative paths start at the home."""

    enabled: bool = True
    """False: it runs as the user who runs Lar, with all that this user may do."""
    network: bool = False
    read: tuple[str, ...] = ()
    """Files and folders that it may read."""
    write: tuple[str, ...] = ()
    """Files and folders that it may change."""


class McpOAuth(msgspec.Struct, frozen=True, kw_only=True):
    """`[mcp.servers.<name>.oauth]`: how Lar gets a token. Without it 'lar mcp login' finds out by itself."""

    grant: Literal["authorization_code", "client_credentials"] = "authorization_code"
    """authorization_code: a person logs in once · client_credentials: Lar has credentials of its own."""
    client_id: str | None = None
    client_secret: str | None = None
    """By reference: `${VAR}`."""
    private_key_file: str | None = None
    """A key in PEM that signs in place of a secret (`private_key_jwt`). Relative paths start at the home."""
    issuer: str | None = None
    """Whose credentials they are; needed with `client_credentials`."""
    scopes: tuple[str, ...] = ()
    client_metadata_url: str | None = None
    """The address of a document that says who the client is, where a server takes such for a client id."""


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """`[mcp.servers.<name>]`: an MCP server. Texts may hold `${VAR}` and `${VAR:-otherwise}`."""

    type: Literal["stdio", "sse", "http"] | None = None
    """None: stdio with a command, http with a url."""
    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    """Nothing else of the environment reaches the server, but for HOME, PATH, USER and the like."""
    env_file: str | None = None
    """A file of lines NAME=VALUE."""
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    oauth: McpOAuth | None = None
    disabled: bool = False
    era: Literal["auto", "legacy", "modern"] = "auto"
    """legacy: the protocol up to 2025-11-25, with its handshake · modern: 2026-07-28."""
    connect_timeout_s: Seconds = 20.0
    call_timeout_s: Seconds = 300.0
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    """Calls side by side."""
    max_result_bytes: Positive = 1 * MIB
    """What is more of a result is cut off."""
    allowed_tools: tuple[str, ...] | None = None
    """None: all."""
    disabled_tools: tuple[str, ...] = ()
    trust: bool = False
    """Its tools need no approval when they first appear, and what it says of them is believed."""
    roots: tuple[str, ...] = ()
    """Folders that the server is told of if it asks."""
    sampling: bool = False
    """Whether the server may ask Lar's models."""
    sandbox: McpSandbox = McpSandbox()


class McpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[mcp]`: servers of tools, beside those of mcp.json."""

    servers: dict[str, McpServer] = {}
    elicitation_wait_s: Seconds = 120.0
    """How long a server's question to the person waits before it counts as declined."""
    sse: bool = False
    """Also serve the older transport (`/sse`, `/messages/`), for clients that know no other."""
    offer: Literal["internal", "all"] = "internal"
    """Whose tools MCP clients are offered: Lar's own, or also those of the servers that it uses itself."""
    approval_wait_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0
    """How long a call of an MCP client waits where a person must be asked first."""
    tool_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """Of a context: where the tools of an agent's servers take more, they are searched for; 0: never."""


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[policy]`: what the gate does beside the files of policies."""

    approval_deadline_s: Seconds = 3600.0
    """How long a question to a person waits for its answer; after that it counts as no."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`[agents]`: runs of agents and of the Responses API."""

    live_runs: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32
    """Runs that are at work side by side; more of them wait, on disk."""
    waiting_runs: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 10_000
    """More than so many that wait are refused."""
    keep_days: Seconds = 30.0
    """How long a run that has ended is kept, with its steps."""
    snapshots: Annotated[int, msgspec.Meta(ge=0, le=365)] = 2
    """Nightly copies of the server's database that are kept; 0: none are made."""
    turn_tokens: Annotated[int, msgspec.Meta(ge=16)] = 4096
    """What one turn of an agent may give, reasoning included, where its `max_output_tokens` does not say."""
    max_result_characters: Annotated[int, msgspec.Meta(ge=1000)] = 100_000
    """Of a tool's result; what is more is cut off, and the model is told so."""
    search_url: str = ""
    """The address of a SearXNG-compatible engine for `web_search`; empty: there is no search of the web."""


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[webhooks]]`: an address that is told when responses and batches are over."""

    url: str
    secret: str
    """The name of an environment variable that holds `whsec_…`."""
    events: tuple[str, ...] = ()
    """Such as `response.completed`; empty: all."""
    tenant: str = "local"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of `lar.toml`."""

    server: ServerSettings = ServerSettings()
    admission: AdmissionSettings = AdmissionSettings()
    journal: JournalSettings = JournalSettings()
    models: ModelsSettings = ModelsSettings()
    model: dict[str, OwnModel] = {}
    backends: BackendSettings = BackendSettings()
    recall: RecallSettings = RecallSettings()
    mcp: McpSettings = McpSettings()
    policy: PolicySettings = PolicySettings()
    agents: AgentSettings = AgentSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    logs: LogSettings = LogSettings()
    console: ConsoleSettings = ConsoleSettings()
