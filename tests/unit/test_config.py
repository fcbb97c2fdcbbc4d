"""lar.toml: every mistake is told with file, key and the way out."""

from pathlib import Path

import pytest

from runtime.config import find_home, load_settings, parse_settings
from runtime.core.errors import SettingsInvalid
from runtime.core.settings import Settings


def test_an_empty_file_means_the_defaults() -> None:
    assert parse_settings("", "lar.toml") == Settings()


def test_sections_and_own_models_are_read() -> None:
    settings = parse_settings(
        "[server]\nport = 9000\n[model.mine]\npath = 'weights/mine.gguf'\ncontext_tokens = 2048\n", "lar.toml"
    )

    assert settings.server.port == 9000
    assert settings.model["mine"].path == "weights/mine.gguf"
    assert settings.model["mine"].context_tokens == 2048


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nprot = 1", "lar.toml: unknown key 'server.prot'; did you mean 'server.port'?"),
        ("[sever]\n", "lar.toml: unknown key 'sever'; did you mean 'server'?"),
        ("[model.mine]\npaht = 'x'", "unknown key 'model.mine.paht'; did you mean 'model.mine.path'?"),
        ("[server]\nzzz = 1", "known: allow_remote_without_keys"),
        ("[server]\nport = 'x'", "lar.toml: server.port: expected `int`, got `str`."),
        ("[server]\nport = 70000", "lar.toml: server.port: expected `int` <= 65535."),
        (
            "[model.mine]\nengine = 'magic'",
            "lar.toml: model.<id>.engine: invalid enum value 'magic'; it takes llama",
        ),
        ("[model.mine]\nkv_type = 'q3'", "invalid enum value 'q3'; it takes f32, f16, bf16, q8_0,"),
        ("[logs]\nlevel = 'loud'", "lar.toml: logs.level: invalid enum value 'loud'; it takes debug, info,"),
        ("[model.mine]\ngpu_layers = -2", "model.<id>.gpu_layers: expected `int` >= -1."),
        ("[model.mine]\nadapters = 'x.gguf'", "model.<id>.adapters: expected `object | null`, got `str`."),
        ("server = 5", "lar.toml: server: expected `object`, got `int`."),
        ("port = = 1", "lar.toml: not valid TOML"),
    ],
)
def test_mistakes_name_the_file_the_key_and_the_fix(text: str, told: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        parse_settings(text, "lar.toml")

    assert told in str(caught.value)


def test_the_environment_sets_only_place_and_address(tmp_path: Path) -> None:
    environment = {"LAR_HOME": str(tmp_path), "LAR_HOST": "0.0.0.0", "LAR_PORT": "9001"}

    settings = load_settings(find_home(environment), environment)

    assert find_home(environment) == tmp_path
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 9001)


def test_a_port_in_the_environment_that_is_no_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="LAR_PORT is 'http'"):
        load_settings(tmp_path, {"LAR_PORT": "http"})
