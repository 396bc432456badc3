"""The environment ``stack-emu exec`` runs a command in: where the emulator is, and how real host names reach it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NODE_HOOK = Path(__file__).with_name("node_proxy_hook.cjs")
"""The script that teaches Node's HTTP clients the proxy variables where Node itself does not read them."""

NO_PROXY = "127.0.0.1,localhost,::1"
"""The emulator itself is reached directly; every other host goes through the gateway."""

_PROXY_NAMES = ("HTTPS_PROXY", "HTTP_PROXY")

_CA_NAMES = (
    "SSL_CERT_FILE",  # OpenSSL, Python's ssl, httpx, httpx2, Go
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
)

_LEADS_AWAY = frozenset(
    {
        # Other ways to name a proxy, each of which some client prefers to HTTPS_PROXY.
        "all_proxy",
        "ws_proxy",
        "wss_proxy",
        "socks_proxy",
        "socks5_proxy",
        "npm_config_proxy",
        "npm_config_https_proxy",
        "npm_config_http_proxy",
        "npm_config_noproxy",
        "yarn_http_proxy",
        "yarn_https_proxy",
        "pip_proxy",
        "cgi_http_proxy",
        "global_agent_http_proxy",
        "global_agent_https_proxy",
        "global_agent_no_proxy",
        "global_agent_environment_variable_namespace",
        # urllib and Go take its presence for CGI and then distrust HTTP_PROXY.
        "request_method",
        # The bundle holds the roots; a folder that is not there any more makes OpenSSL's clients warn or fail.
        "ssl_cert_dir",
        # Anthropic's SDK sends it beside the API key, and the Claude CLI instead of it.
        "anthropic_auth_token",
        "claude_code_oauth_token",
        # They make the Claude CLI talk to another cloud than ANTHROPIC_BASE_URL.
        "claude_code_use_bedrock",
        "claude_code_use_vertex",
        "claude_code_use_foundry",
        # A credential for OpenAI's administration, which is not served here.
        "openai_admin_key",
        # They make OpenAI's SDK send the names of real organisations.
        "openai_org_id",
        "openai_project_id",
    }
)
"""Inherited names, in lower case, that would lead a client past the emulator or hand it a real credential."""


def client_environment(
    *,
    base_url: str,
    mcp_url: str,
    api_key: str,
    anthropic_base_url: str,
    anthropic_key: str,
    openai_base_url: str,
    openai_key: str,
    dashboard_url: str,
    gateway_url: str,
    ca_file: str,
    emulator_url: str,
    inherited: Mapping[str, str],
    node_hook: bool = True,
) -> dict[str, str]:
    """Return the whole environment of a client of the emulator.

    Args:
        base_url: STACK's REST API in this world.
        mcp_url: STACK's MCP endpoint in this world.
        api_key: a STACK operator key of this world.
        anthropic_base_url: the Messages API in this world.
        anthropic_key: the key the Messages API takes.
        openai_base_url: the OpenAI API in this world, `/v1` included.
        openai_key: the key the OpenAI API takes.
        dashboard_url: what ``getstack`` opens in a browser for a login.
        gateway_url: proxy URL of this world, token included.
        ca_file: PEM bundle of the gateway's CA and the machine's roots.
        emulator_url: the emulator's own address, for its control API.
        inherited: the environment to start from; it is not changed.
        node_hook: whether Node is given the hook for clients its own proxy support does not cover.
    """
    environment = {name: value for name, value in inherited.items() if name.lower() not in _LEADS_AWAY}
    environment.update(
        STACK_EMU_URL=emulator_url,
        STACK_BASE_URL=base_url,
        STACK_MCP_URL=mcp_url,
        STACK_API_KEY=api_key,
        STACK_DASHBOARD_URL=dashboard_url,
        ANTHROPIC_BASE_URL=anthropic_base_url,
        ANTHROPIC_API_KEY=anthropic_key,
        OPENAI_BASE_URL=openai_base_url,
        OPENAI_API_KEY=openai_key,
    )
    environment.update(gateway_environment(gateway_url, ca_file))
    if node_hook:
        environment["NODE_OPTIONS"] = with_node_hook(inherited.get("NODE_OPTIONS", ""))
    return environment


def gateway_environment(gateway_url: str, ca_file: str) -> dict[str, str]:
    """The variables that lead clients of real host names to the gateway and let them trust it.

    Args:
        gateway_url: proxy URL of a world, token included.
        ca_file: PEM bundle of the gateway's CA and the machine's roots.
    """
    variables = {"NODE_USE_ENV_PROXY": "1", "NO_PROXY": NO_PROXY, "no_proxy": NO_PROXY}
    for name in _PROXY_NAMES:
        variables[name] = variables[name.lower()] = gateway_url
    variables.update(dict.fromkeys(_CA_NAMES, ca_file))
    return variables


def with_node_hook(node_options: str) -> str:
    """Return NODE_OPTIONS with the hook appended, once.

    Args:
        node_options: the value so far; Node splits it at spaces and honours double quotes with backslash escapes.
    """
    path = str(NODE_HOOK).replace("\\", "\\\\").replace('"', '\\"')
    option = f'--require "{path}"'
    if option in node_options:
        return node_options
    return f"{node_options.strip()} {option}".strip()
