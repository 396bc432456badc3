"""Hosts let through by gateway.allow are tunnelled untouched; emulated hosts never are."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from stack_emu.surfaces.gateway_heads import single_use_answer

REAL = "files.example.com"
SIZE = 8 * 1024 * 1024


class RealServer(BaseHTTPRequestHandler):
    """The server behind the real name: says what it got, or sends a lot."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/big":
            body = b"z" * SIZE
        else:
            body = json.dumps({"real": True, "line": self.requestline, "headers": dict(self.headers)}).encode()
        self.answer(body)

    def do_POST(self):
        received = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(json.dumps({"sha256": hashlib.sha256(received).hexdigest()}).encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def real_ca():
    return trustme.CA()


@pytest.fixture
def real_ports(real_ca):
    """The ports of the real host: 443 with a certificate of its own authority, and 80."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    real_ca.issue_cert(REAL).configure_cert(context)
    servers = {
        443: ThreadingHTTPServer(("127.0.0.1", 0), RealServer),
        80: ThreadingHTTPServer(("127.0.0.1", 0), RealServer),
    }
    servers[443].socket = context.wrap_socket(servers[443].socket, server_side=True)
    threads = [serve(server) for server in servers.values()]
    yield {port: server.server_address[1] for port, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def allowing(new_lab, real_ca, real_ports, tmp_path):
    """A gateway that lets the real host through; name resolution leads to the loopback server."""
    dialled = []

    async def dial(factory, host, port):
        dialled.append((host, port))
        return await asyncio.get_running_loop().create_connection(factory, "127.0.0.1", real_ports[port])

    lab = new_lab(allow=[REAL], dial=dial)
    roots = tmp_path / "company.pem"
    real_ca.cert_pem.write_to_path(str(roots))
    lab.ca.write_bundle(lab.ca_file, {"SSL_CERT_FILE": str(roots)})
    lab.dialled = dialled
    return lab


CLIENTS = ["with_httpx", "with_requests", "with_aiohttp", "with_curl", "with_fetch@system", "with_fetch@wheel"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_allowed_host_answers_itself(allowing, echo_of, client, scheme):
    answer = echo_of(client, "get", f"{scheme}://{REAL}/x?y=1", env=allowing.environment())
    assert answer["real"] is True
    assert answer["line"] == "GET /x?y=1 HTTP/1.1"
    assert not [name for name in answer["headers"] if name.lower().startswith("proxy-")]
    assert allowing.dialled == [(REAL, 443 if scheme == "https" else 80)]
    assert allowing.seen == []


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_upload_to_an_allowed_host_arrives_whole(allowing, echo_of, scheme):
    answer = echo_of("with_requests", "upload", f"{scheme}://{REAL}/up", str(SIZE), env=allowing.environment())
    assert answer["sha256"] == hashlib.sha256(b"x" * SIZE).hexdigest()


def test_a_download_from_an_allowed_host_arrives_whole(allowing, run_client):
    done = run_client("with_httpx", "get", f"https://{REAL}/big", env=allowing.environment())
    assert len(done.stdout.strip()) == SIZE


def test_the_certificate_of_an_allowed_host_is_its_own(allowing, raw_client, real_ca, tmp_path):
    client = raw_client(allowing)
    assert client.connect(f"{REAL}:443") == 200
    context = ssl.create_default_context()
    real_ca.configure_trust(context)
    client.socket = context.wrap_socket(client.socket, server_hostname=REAL)
    issuer = dict(entry[0] for entry in client.socket.getpeercert()["issuer"])
    assert "trustme" in issuer["organizationName"]


def test_other_hosts_stay_refused(allowing, run_client):
    done = run_client("with_httpx", "get", "https://other.example.com/", env=allowing.environment())
    assert "other.example.com is not emulated" in done.stdout
    assert allowing.dialled == []


def test_a_pooled_plain_connection_finds_the_allowed_host_after_an_emulated_one(allowing):
    import urllib3

    with urllib3.ProxyManager(allowing.gateway.url("default").replace("default:token-of-this-run@", "")) as pool:
        headers = urllib3.make_headers(proxy_basic_auth="default:token-of-this-run")
        first = pool.request("GET", "http://slack.com/a", headers=headers, retries=False)
        second = pool.request("GET", f"http://{REAL}/b", headers=headers, retries=False)
        third = pool.request("GET", "http://slack.com/c", headers=headers, retries=False)
    assert second.headers["Connection"] == "close"
    assert first.json()["target"][2] == "slack.com"
    assert second.json()["line"] == "GET /b HTTP/1.1"
    assert third.json()["raw_path"] == "/c"


def test_an_allowed_host_needs_the_token_too(allowing, raw_client):
    client = raw_client(allowing)
    assert client.connect(f"{REAL}:80", credentials="default:wrong") == 200
    assert client.get("/", REAL)[1]["error"]["code"] == "GATEWAY_CREDENTIALS_WRONG"
    assert allowing.dialled == []


def test_a_world_that_emulates_an_allowed_host_keeps_it(allowing, raw_client):
    allowing.emulated["blue"].add(REAL)
    client = raw_client(allowing)
    assert client.connect(f"{REAL}:80", credentials="blue:token-of-this-run") == 200
    assert client.get("/", REAL)[1]["target"] == ["blue", "http", REAL, 80]
    assert allowing.dialled == []


@pytest.mark.parametrize("port", [443, 80])
def test_an_allowed_host_that_cannot_be_reached_is_named(new_lab, raw_client, port):
    async def dial(factory, host, port):
        raise OSError("no route to it")

    lab = new_lab(allow=[f"{REAL}:443", f"{REAL}:80"], dial=dial)
    client = raw_client(lab)
    assert client.connect(f"{REAL}:{port}") == 200
    if port == 443:
        client.secure(REAL)
    status, body = client.get("/", REAL)
    assert (status, body["error"]["code"]) == (502, "ALLOWED_HOST_UNREACHABLE")
    assert f"{REAL}:{port}" in body["error"]["message"]
    assert "no route to it" in body["error"]["message"]


def test_an_unreachable_allowed_host_is_named_without_a_tunnel_too(new_lab, run_client):
    async def dial(factory, host, port):
        raise OSError("no route to it")

    lab = new_lab(allow=[REAL], dial=dial)
    done = run_client("with_curl", "get", f"http://{REAL}/", env=lab.environment())
    assert json.loads(done.stdout)["error"]["code"] == "ALLOWED_HOST_UNREACHABLE"


def test_a_port_in_the_list_lets_only_that_port_through(new_lab, raw_client):
    lab = new_lab(allow=[f"{REAL}:8443"])
    client = raw_client(lab)
    assert client.connect(f"{REAL}:80") == 200
    assert client.get("/", REAL)[1]["error"]["code"] == "HOST_NOT_EMULATED"


def test_either_end_closes_the_other(allowing, raw_client):
    client = raw_client(allowing)
    assert client.connect(f"{REAL}:80") == 200
    client.send(f"GET /x HTTP/1.1\r\nHost: {REAL}\r\nConnection: close\r\n\r\n".encode())
    assert client.answer()[0] == 200
    assert client.file.read() == b""
    assert allowing.wait_for_no_tasks() == 0


def test_the_answer_to_a_plain_request_says_that_the_connection_ends():
    early = b"HTTP/1.1 100 Continue\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\nX: y\r\n\r\n"
    closing = b"HTTP/1.1 200 OK\r\nX: y\r\nConnection: close\r\n\r\n"
    whole = early + head + b"body\r\n\r\nmore"
    assert single_use_answer(whole) == (early + closing + b"body\r\n\r\nmore", None)
    assert single_use_answer(early) == (early, b"")
    for cut in range(1, len(early + head)):
        sent, kept = single_use_answer(whole[:cut])
        rest, nothing = single_use_answer(kept + whole[cut:])
        assert (sent + rest, nothing) == (early + closing + b"body\r\n\r\nmore", None)


@pytest.mark.parametrize("listed", ["api.getstack.run", "API.getstack.run.", "slack.com:443"])
def test_an_emulated_host_cannot_be_let_through(new_lab, listed):
    with pytest.raises(ValueError, match=r"is emulated, so gateway\.allow cannot let it through"):
        new_lab(allow=[listed])


@pytest.mark.parametrize("listed", ["https://files.example.com", "*.example.com", "", "a b"])
def test_only_host_names_can_be_let_through(new_lab, listed):
    with pytest.raises(ValueError, match=r"gateway\.allow takes host names like"):
        new_lab(allow=[listed])
