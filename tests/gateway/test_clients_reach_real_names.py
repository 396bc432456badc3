"""Unmodified clients that name the real hosts reach the emulator through the gateway."""

from __future__ import annotations

import hashlib

import pytest

CLIENTS = [
    "with_httpx",
    "with_httpx2",
    "with_requests",
    "with_aiohttp",
    "with_urllib",
    "with_curl",
    "with_fetch@system",
    "with_fetch@wheel",
    "with_node_request@system",
    "with_node_request@wheel",
    "with_node_agent@system",
    "with_node_agent@wheel",
    "with_node_borrowed_agent@system",
    "with_node_borrowed_agent@wheel",
]
every_client = pytest.mark.parametrize("client", CLIENTS)


@every_client
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_client_reaches_an_emulated_host_despite_a_hostile_environment(lab, hostile, echo_of, client, scheme):
    echo = echo_of(client, "get", f"{scheme}://api.getstack.run/v1/a%2Fb?limit=2&q=a%26b", env=lab.environment(hostile))
    port = 443 if scheme == "https" else 80
    assert echo["target"] == ["default", scheme, "api.getstack.run", port]
    assert echo["url"] == f"{scheme}://api.getstack.run/v1/a%2Fb?limit=2&q=a%26b"
    assert echo["raw_path"] == "/v1/a%2Fb?limit=2&q=a%26b"
    assert echo["host"] == "api.getstack.run"
    assert not [name for name in [*echo["headers"], *echo["raw_headers"]] if name.startswith("proxy-")]


@every_client
def test_a_client_is_told_by_name_which_host_is_not_emulated(lab, hostile, run_client, client):
    done = run_client(client, "get", "https://files.example.com/x", env=lab.environment(hostile))
    assert "files.example.com is not emulated in world 'default'" in done.stdout + done.stderr
    assert "--allow-host files.example.com" in done.stdout + done.stderr
    assert any("files.example.com is not emulated" in sentence for sentence in lab.told)


@every_client
def test_events_arrive_one_by_one_through_a_tunnel(lab, start_client, client):
    process = start_client(client, "stream", "https://api.anthropic.com/sse", env=lab.environment())
    lines = (line.strip() for line in process.stdout if line.strip())
    assert next(lines) == "data: first"
    lab.open_gate()
    assert next(lines) == "data: second"
    assert process.wait(20) == 0


@every_client
def test_eight_mebibytes_arrive_whole(lab, echo_of, client):
    size = 8 * 1024 * 1024
    echo = echo_of(client, "upload", "https://slack.com/api/files", str(size), env=lab.environment())
    assert (echo["size"], echo["sha256"]) == (size, hashlib.sha256(b"x" * size).hexdigest())


@pytest.mark.parametrize("client", ["with_httpx", "with_fetch@system", "with_fetch@wheel", "with_curl"])
def test_the_proxy_user_chooses_the_world(lab, echo_of, client):
    echo = echo_of(client, "get", "https://only.blue.test/", env=lab.environment(world="blue"))
    assert echo["target"] == ["blue", "https", "only.blue.test", 443]


@pytest.mark.parametrize("client", ["with_httpx", "with_requests", "with_fetch@system", "with_fetch@wheel"])
def test_loopback_is_reached_directly(lab, hostile, run_client, client):
    done = run_client(client, "get", f"http://127.0.0.1:{lab.port}/", env=lab.environment(hostile))
    assert "GATEWAY_IS_A_PROXY" in done.stdout
