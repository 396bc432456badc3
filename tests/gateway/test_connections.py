"""What the gateway does with a connection, byte by byte."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

HOST = "api.getstack.run"
BASIC = "Basic " + base64.b64encode(b"default:token-of-this-run").decode()


def connect_bytes(authority, basic=BASIC):
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: {basic}\r\n\r\n".encode()


def test_one_tunnel_serves_several_requests(raw):
    assert raw.connect(f"{HOST}:443") == 200
    assert raw.secure(HOST) == "http/1.1"
    for path in ("/a", "/b", "/c"):
        status, echo = raw.get(path, HOST)
        assert (status, echo["url"]) == (200, f"https://{HOST}{path}")


def test_a_request_that_comes_with_the_last_handshake_message_is_answered(raw):
    assert raw.connect(f"{HOST}:443") == 200
    context = ssl.create_default_context(cafile=str(raw.lab.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            if outgoing.pending:
                raw.send(outgoing.read())
            incoming.write(raw.socket.recv(65536))
    tls.write(f"GET /early HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    raw.send(outgoing.read())
    received = b""
    while b"/early" not in received:
        incoming.write(raw.socket.recv(65536))
        try:
            received += tls.read(65536)
        except ssl.SSLWantReadError:
            continue
    assert received.startswith(b"HTTP/1.1 200")


def test_the_client_hello_may_come_in_the_packet_of_the_connect(raw):
    context = ssl.create_default_context(cafile=str(raw.lab.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    raw.send(connect_bytes(f"{HOST}:443") + outgoing.read())
    assert raw.file.readline() == b"HTTP/1.1 200 Connection established\r\n"
    assert raw.file.readline() == b"\r\n"
    while True:
        incoming.write(raw.file.read1(65536))
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    assert tls.getpeercert()["subjectAltName"] == (("DNS", HOST),)


def test_every_byte_may_come_in_a_packet_of_its_own(raw):
    for byte in connect_bytes(f"{HOST}:80") + f"GET /slow HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode():
        raw.send(bytes([byte]))
    assert raw.answer()[0] == 200
    status, _, body = raw.answer()
    assert (status, json.loads(body)["url"]) == (200, f"http://{HOST}/slow")


def test_plain_http_in_the_packet_of_the_connect_is_answered(raw):
    raw.send(connect_bytes(f"{HOST}:80") + f"GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    assert raw.answer()[0] == 200
    assert json.loads(raw.answer()[2])["target"] == ["default", "http", HOST, 80]


def test_plain_and_tls_are_told_apart_at_any_port(raw_client, lab):
    plain, secure = raw_client(lab), raw_client(lab)
    assert plain.connect(f"{HOST}:443") == 200
    assert plain.get("/", f"{HOST}:443")[1]["target"] == ["default", "http", HOST, 443]
    assert secure.connect(f"{HOST}:8443") == 200
    secure.secure(HOST)
    assert secure.get("/", f"{HOST}:8443")[1]["target"] == ["default", "https", HOST, 8443]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_line_with_the_whole_url_is_served_without_a_tunnel(raw, scheme):
    for path in ("/v1/a%2Fb?q=1", "", "?x=2"):
        raw.send(
            f"GET {scheme}://{HOST}{path} HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: {BASIC}\r\n\r\n".encode()
        )
        status, _, body = raw.answer()
        echo = json.loads(body)
        assert status == 200
        assert echo["target"] == ["default", scheme, HOST, 443 if scheme == "https" else 80]
        assert echo["raw_path"] == (path if path.startswith("/") else f"/{path}")
        assert echo["url"].startswith(f"{scheme}://{HOST}/")
        assert "proxy-authorization" not in echo["headers"]


def test_a_pooled_plain_connection_may_change_hosts_and_worlds(raw):
    blue = "Basic " + base64.b64encode(b"blue:token-of-this-run").decode()
    for host, basic, world in (
        (HOST, BASIC, "default"),
        ("only.blue.test", blue, "blue"),
        ("slack.com", BASIC, "default"),
    ):
        raw.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: {basic}\r\n\r\n".encode())
        assert json.loads(raw.answer()[2])["target"][:3] == [world, "http", host]


def test_a_host_of_another_world_is_not_emulated_here(raw):
    assert raw.connect("only.blue.test:80") == 200
    status, body = raw.get("/", "only.blue.test")
    assert (status, body["error"]["code"]) == (502, "HOST_NOT_EMULATED")
    assert body["error"]["details"] == {"host": "only.blue.test", "world": "default"}


def test_an_empty_user_means_the_default_world(raw):
    assert raw.connect(f"{HOST}:80", credentials=":token-of-this-run") == 200
    assert raw.get("/", HOST)[1]["target"][0] == "default"


def test_names_are_compared_without_case_and_trailing_dot(raw):
    assert raw.connect("API.GetStack.run.:80") == 200
    assert raw.get("/", "Api.getstack.RUN:80")[1]["target"] == ["default", "http", HOST, 80]


@pytest.mark.parametrize("named", ["slack.com", f"{HOST}:444", "", f"evil.{HOST}"])
def test_a_host_header_that_names_another_host_is_misdirected(raw, named):
    assert raw.connect(f"{HOST}:443") == 200
    raw.secure(HOST)
    status, body = raw.get("/", named)
    assert (status, body["error"]["code"]) == (421, "MISDIRECTED_REQUEST")
    assert f"send Host: {HOST}" in body["error"]["message"]
    assert raw.lab.seen == []


def test_a_whole_url_inside_a_tunnel_must_name_the_tunnels_host(raw):
    assert raw.connect(f"{HOST}:443") == 200
    raw.secure(HOST)
    assert raw.get("https://slack.com/x", HOST)[0] == 421
    assert raw.get(f"https://{HOST}/x", HOST)[1]["raw_path"] == "/x"


def test_a_server_name_other_than_the_tunnels_is_answered_and_not_cut_off(raw):
    assert raw.connect(f"{HOST}:443") == 200
    raw.secure("slack.com")
    status, body = raw.get("/", "slack.com")
    assert (status, body["error"]["details"]["expected"]) == (421, HOST)


def test_a_connect_without_credentials_is_challenged_and_may_try_again(raw):
    raw.send(f"CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}:80\r\n\r\n".encode())
    status, headers, body = raw.answer()
    assert (status, headers["proxy-authenticate"]) == (407, 'Basic realm="stack-emu gateway"')
    assert "gateway_url" in headers["reason"]
    assert "gateway_url" in body.decode()
    assert raw.connect(f"{HOST}:80") == 200
    assert raw.get("/", HOST)[0] == 200


@pytest.mark.parametrize("credentials", ["default:wrong", "default:", "token-of-this-run", ""])
def test_a_wrong_token_is_told_inside_the_tunnel(raw, credentials):
    assert raw.connect(f"{HOST}:443", credentials) == 200
    raw.secure(HOST)
    status, body = raw.get("/", HOST)
    assert (status, body["error"]["code"]) == (502, "GATEWAY_CREDENTIALS_WRONG")
    assert "token-of-this-run" not in json.dumps(body)
    assert raw.lab.seen == []


def test_a_plain_request_without_credentials_is_challenged(raw):
    request = f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n{{}}\r\n"
    raw.send(request.format("").encode())
    status, headers, body = raw.answer()
    assert (status, json.loads(body)["error"]["code"]) == (407, "GATEWAY_CREDENTIALS_MISSING")
    assert headers["proxy-authenticate"] == 'Basic realm="stack-emu gateway"'
    wrong = base64.b64encode(b"default:wrong").decode()
    raw.send(request.format(f"Proxy-Authorization: Basic {wrong}\r\n").encode())
    assert json.loads(raw.answer()[2])["error"]["code"] == "GATEWAY_CREDENTIALS_WRONG"


@pytest.mark.parametrize("method", ["--proxy-anyauth", "--proxy-basic"])
def test_curl_reaches_the_host_whether_or_not_it_waits_for_the_challenge(lab, method):
    done = subprocess.run(
        ["curl", "-sS", "-m", "20", method, f"https://{HOST}/v1/agents"],
        env=lab.environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert json.loads(done.stdout)["target"] == ["default", "https", HOST, 443], done.stderr


def test_a_browser_at_the_gateways_port_is_told_what_it_is(raw):
    status, body = raw.get("/", f"127.0.0.1:{raw.lab.port}")
    assert (status, body["error"]["code"]) == (400, "GATEWAY_IS_A_PROXY")
    assert "HTTPS_PROXY" in body["error"]["message"]


def test_loopback_through_the_proxy_is_told_to_go_direct(raw):
    assert raw.connect("127.0.0.1:5432") == 200
    status, body = raw.get("/", "127.0.0.1:5432")
    assert status == 502
    assert "NO_PROXY=127.0.0.1,localhost,::1" in body["error"]["message"]


def test_a_client_that_waits_for_100_continue_gets_it(raw):
    assert raw.connect(f"{HOST}:80") == 200
    raw.send(f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode())
    assert raw.answer()[0] == 100
    raw.send(b"abc")
    status, _, body = raw.answer()
    assert (status, json.loads(body)["size"]) == (200, 3)


def test_thirty_two_mebibytes_are_accepted(raw):
    assert raw.connect(f"{HOST}:443") == 200
    raw.secure(HOST)
    body = bytes(range(256)) * (32 * 4096)
    raw.send(f"POST /big HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    raw.send(body)
    echo = json.loads(raw.answer()[2])
    assert (echo["size"], echo["sha256"]) == (32 * 1024 * 1024, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    "noise",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"\x05\x01\x00", b"\r\n\r\n", b"get / http", "état".encode()],
    ids=["tls", "socks5", "blank", "lower-case", "text"],
)
def test_what_is_not_http_is_cut_off(raw, noise):
    raw.send(noise)
    assert raw.socket.recv(100) == b""


@pytest.mark.parametrize("noise", [b"\x00\x01\x02", b"\x05\x01\x00", b"\x80\x2e"])
def test_noise_inside_a_tunnel_is_cut_off(raw, noise):
    assert raw.connect(f"{HOST}:443") == 200
    raw.send(noise)
    assert raw.socket.recv(100) == b""


def test_http_that_cannot_be_read_is_refused_without_being_logged(raw, caplog):
    assert raw.connect(f"{HOST}:80") == 200
    raw.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nAuthorization\x00: Bearer hush\r\n\r\n".encode())
    status, _, body = raw.answer()
    assert (status, json.loads(body)["error"]["code"]) == (400, "MALFORMED_REQUEST")
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    "authority", ["api.getstack.run", "api.getstack.run:0", "api.getstack.run:70000", ":443", "a b:1", "x:y"]
)
def test_a_connect_without_host_and_port_is_refused(raw, authority):
    raw.send(f"CONNECT {authority} HTTP/1.1\r\n\r\n".encode())
    assert raw.answer()[0] == 400
    assert raw.socket.recv(100) == b""


def test_endless_headers_are_refused(raw):
    raw.send(b"GET http://api.getstack.run/ HTTP/1.1\r\nX: " + b"y" * 70_000)
    assert raw.answer()[0] == 431


@pytest.mark.parametrize(
    "opening", [b"", b"CONNECT api.getst", connect_bytes(f"{HOST}:443")], ids=["silent", "half", "idle"]
)
def test_a_client_that_does_not_say_what_it_wants_is_cut_off(new_lab, raw_client, opening):
    client = raw_client(new_lab(idle_timeout=0.2))
    client.send(opening)
    client.socket.settimeout(10)
    received = client.file.read()
    assert received in (b"", b"HTTP/1.1 200 Connection established\r\n\r\n")


def test_a_handshake_that_is_never_finished_is_cut_off(new_lab, raw_client):
    client = raw_client(new_lab(idle_timeout=0.2))
    assert client.connect(f"{HOST}:443") == 200
    client.send(b"\x16\x03\x01")
    client.socket.settimeout(10)
    assert client.file.read() == b""


def test_fifty_tunnels_are_open_at_the_same_time(lab, raw_client):
    def open_tunnel(number):
        client = raw_client(lab)
        assert client.connect(f"{HOST}:443") == 200
        client.secure(HOST)
        return client

    with ThreadPoolExecutor(10) as pool:
        clients = list(pool.map(open_tunnel, range(50)))
        answers = list(pool.map(lambda pair: pair[1].get(f"/{pair[0]}", HOST), enumerate(clients)))
    assert [echo["raw_path"] for _, echo in answers] == [f"/{number}" for number in range(50)]


@pytest.mark.parametrize("port", [443, 80])
def test_a_client_that_leaves_in_the_middle_of_an_answer_leaves_nothing_behind(new_lab, raw_client, port):
    lab = new_lab()
    client = raw_client(lab)
    assert client.connect(f"{HOST}:{port}") == 200
    if port == 443:
        client.secure(HOST)
    client.send(f"GET /sse HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    assert client.answer()[0] == 200
    assert lab.running == 1
    client.close()
    lab.wait_until_idle()
    assert lab.wait_for_no_tasks() == 0


def test_a_client_that_leaves_in_the_handshake_leaves_nothing_behind(new_lab, raw_client):
    lab = new_lab()
    client = raw_client(lab)
    assert client.connect(f"{HOST}:443") == 200
    client.send(b"\x16\x03\x01\x02\x00")
    client.close()
    assert lab.wait_for_no_tasks() == 0


def test_stopping_does_not_wait_for_open_streams(new_lab, raw_client):
    lab = new_lab()
    for port in (443, 80):
        client = raw_client(lab)
        assert client.connect(f"{HOST}:{port}") == 200
        if port == 443:
            client.secure(HOST)
        client.send(f"GET /sse HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.answer()[0] == 200
    lab.run(lab.gateway.stop(), timeout=1)
    assert lab.running == 0
    assert lab.wait_for_no_tasks() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", lab.port), timeout=5)


def test_a_client_that_keeps_its_own_certificates_is_reported_with_the_remedy(lab, raw):
    assert raw.connect(f"{HOST}:443") == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw.socket, server_hostname=HOST)
    assert lab.wait_for_told("TLS handshake for api.getstack.run").endswith("give it the ca_file of stack-emu")


def test_the_address_is_asked_for_too_early():
    from stack_emu.surfaces.gateway import Gateway
    from stack_emu.surfaces.gateway_tls import CertificateAuthority

    gateway = Gateway(None, lambda *_: False, token="t", ca=CertificateAuthority.create())
    with pytest.raises(RuntimeError, match="await start"):
        gateway.url("default")
