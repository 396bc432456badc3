"""Hosts, origins and paths that are not what they seem reach no other world, and not the control API."""

from __future__ import annotations

import asyncio
import base64
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from stack_emu.recording.reverse_proxy import Recorder
from stack_emu.surfaces.host_gateway import HostGateway
from tests.conftest import Served
from tests.security.wire import Reply, ask, request

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
KEY, OTHERS = "sk_live_emu_of_the_root", "sk_live_emu_of_the_side"
ROOT = f"stack_emu: 1\noperator: {{id: op_root, keys: [{{key: {KEY}}}]}}\nagents: [{{id: agt_root, name: rooted}}]\n"
SIDE = f"stack_emu: 1\noperator: {{id: op_side, keys: [{{key: {OTHERS}}}]}}\nagents: [{{id: agt_side, name: sided}}]\n"


@dataclass
class Ground:
    """A root world and one beside it that count how often they are reset, and a gateway."""

    served: Served
    gateway: HostGateway
    resets: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.served.server.port

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, target: str, *lines: str, host: str | None = None, body: bytes = b"") -> Reply:
        [reply] = ask(self.port, request(method, target, self.host if host is None else host, *lines, body=body))
        return reply


@pytest.fixture(scope="module")
def ground(serve_all: Callable[..., Served]) -> Iterator[Ground]:
    served = serve_all(ROOT, side=SIDE)

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, served.loop).result(20)

    made = Ground(served, HostGateway(served.server))
    run(made.gateway.start())
    for name in ("default", "side"):
        hosted = served.server.hosting.get(name)
        assert hosted is not None
        hosted.on_reset = lambda name=name: made.resets.append(name)
    yield made
    run(made.gateway.stop())


SURFACES = ("/v1/agents", "/mcp", "/oauth/device", "/_emu/world", "/anthropic/v1/models", "/openai/v1/models", "/")

WRONG_HOSTS = (
    "",
    "evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1.nip.io",
    "evil@127.0.0.1",
    "evil:pw@localhost",
    "127.0.0.1/evil",
    "127.0.0.1?evil",
    "127.0.0.1#@evil.example",
    "evil.example#@127.0.0.1",
    "localhost.",
    "127.0.0.1.",
    "127.0.0.1:99999",
    "127.0.0.1:abc",
    "127.0.0.1:80:90",
    "127.0.0.1, evil.example",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "[::1",
    "::1",
    "[::1]x",
    "[::1%25lo]",
    "[::ffff:127.0.0.1]",
    "0.0.0.0",
    "localhost\\evil",
    "loc%61lhost",
    "\u00e9.localhost",
)


@pytest.mark.parametrize("host", WRONG_HOSTS)
def test_only_names_of_this_machine_are_hosts(ground: Ground, host: str) -> None:
    for target in SURFACES:
        reply = ground.ask("GET", target, f"Authorization: Bearer {KEY}", host=host.encode().decode("latin-1"))
        assert (reply.status, b"HOST_REFUSED" in reply.body) == (421, True), (target, reply)


@pytest.mark.parametrize("second", ["evil.example", "127.0.0.1"])
def test_two_hosts_or_none_are_refused(ground: Ground, second: str) -> None:
    for target in SURFACES:
        [reply] = ask(ground.port, request("GET", target, ground.host, f"Host: {second}"))
        assert reply.status == 400, target
        [reply] = ask(ground.port, f"GET {target} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        assert reply.status == 400, target


def test_a_request_line_with_a_whole_url_has_to_name_the_same_host(ground: Ground) -> None:
    own = ground.host
    for target, host in (
        ("http://evil.example/_emu/world", own),
        ("http://evil.example/_emu/world", "evil.example"),
        (f"http://{own}/_emu/world", "evil.example"),
        (f"http://{own}/_emu/world", "localhost"),
        (f"http://a@{own}/_emu/world", own),
        (f"http://{own}@evil.example/_emu/world", own),
        ("http://127.0.0.1/_emu/world", own),
    ):
        reply = ground.ask("GET", target, host=host)
        assert (reply.status, b"HOST_REFUSED" in reply.body) == (421, True), (target, host, reply)
    reply = ground.ask("GET", f"http://{own}/")
    assert reply.status == 200
    assert f'"rest":"http://{own}/v1"'.encode() in reply.body.replace(b" ", b"")


WRONG_ORIGINS = (
    "null",
    "https://evil.example",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://evil.example#127.0.0.1",
    "http://evil.example/127.0.0.1",
    "http://127.0.0.1@evil.example",
    "http://evil@127.0.0.1",
    "http://localhost.",
    "http://127.0.0.1 evil",
    "127.0.0.1",
    "//127.0.0.1",
    "file://",
    "file://127.0.0.1",
    "chrome-extension://abcdefgh",
    "javascript://localhost/%0aalert(1)",
)


@pytest.mark.parametrize("origin", WRONG_ORIGINS)
def test_pages_of_elsewhere_are_refused_on_every_surface(ground: Ground, origin: str) -> None:
    for target in SURFACES:
        for more in ((), (f"Origin: http://{ground.host}",)):
            lines = (*more, f"Origin: {origin}", f"Authorization: Bearer {KEY}")
            reply = ground.ask("GET", target, *lines)
            assert (reply.status, b"ORIGIN_REFUSED" in reply.body) == (403, True), (target, reply)
            assert b"access-control" not in reply.head.lower()


def test_a_websocket_is_opened_for_nobody_and_hides_no_request(ground: Ground) -> None:
    upgrade = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    behind = request("POST", "/_emu/reset", "evil.example")
    for target in SURFACES:
        first = request("GET", target, ground.host, *upgrade, "Connection: Upgrade", close=False)
        answered = ask(ground.port, first + behind)
        assert 101 not in [reply.status for reply in answered], target
        assert [reply.status for reply in answered[1:]] in ([], [421]), (target, answered)
    assert ground.resets == []


# --- paths ------------------------------------------------------------------------------------------------------------

RESET_SPELLINGS = (
    "/w/../_emu/reset",
    "/w/x/../_emu/reset",
    "/w/side/../_emu/reset",
    "/w/side/../../_emu/reset",
    "/w/side/%2e%2e/_emu/reset",
    "/w/side/..%2f_emu/reset",
    "/w/side%2f_emu/reset",
    "/w%2fside/_emu/reset",
    "/w/%73ide/_emu/reset",
    "/w/%64efault/_emu/reset",
    "/w/SIDE/_emu/reset",
    "/W/side/_emu/reset",
    "/w//side/_emu/reset",
    "/w/side//_emu/reset",
    "/w/side;x/_emu/reset",
    "/w/side;/_emu/reset",
    "/w/side%20/_emu/reset",
    "/w/side%00/_emu/reset",
    "/w/side./_emu/reset",
    "/w/side/w/default/_emu/reset",
    "/w/default/w/side/_emu/reset",
    "/w/side/~/_emu/reset",
    "/w/side/~a/~b/_emu/reset",
    "/w/\uff53ide/_emu/reset",
    "//_emu/reset",
    "//127.0.0.1/_emu/reset",
    "/./_emu/reset",
    "/../_emu/reset",
    "/_emu/./reset",
    "/_emu/x/../reset",
    "/_emu//reset",
    "/_emu/reset/",
    "/_emu/reset;",
    "/_emu;/reset",
    "/_emu%2freset",
    "/_emu%5creset",
    "/%5femu/reset",
    "/_emu/%72eset",
    "/_EMU/reset",
    "/_emu/RESET",
    "/_emu\\reset",
    "\\_emu\\reset",
    "/\\_emu\\reset",
    "/_emu/reset%20",
    "/_emu/reset%00",
    "/_emu/reset%0a",
    "/_emu/reset.json",
    "/%c0%ae%c0%ae/_emu/reset",
    "/%e0%80%ae%e0%80%ae/_emu/reset",
    "/%252e%252e/_emu/reset",
    "/v1/../_emu/reset",
    "/v1/agents/..%2f..%2f_emu%2freset",
    "/mcp/../_emu/reset",
    "/mcp/_emu/reset",
    "/anthropic/../_emu/reset",
    "/anthropic/_emu/reset",
    "/openai/../_emu/reset",
    "/openai/_emu/reset",
    "/oauth/consent/../../_emu/reset",
    "/identity/verify/../../_emu/reset",
    "/v1/webhooks/inbound/../../../_emu/reset",
    "/.well-known/oauth-authorization-server/w/side/_emu/reset",
    "/.well-known/openid-configuration/w/../_emu/reset",
    "_emu/reset",
    "*",
    "?/_emu/reset",
    "#/_emu/reset",
    "/?/_emu/reset",
    "/#/_emu/reset",
    "http:///_emu/reset",
    "/" + "a/" * 20_000 + "_emu/reset",
    "/" + "w/" * 20_000 + "_emu/reset",
)


@pytest.mark.parametrize("target", RESET_SPELLINGS, ids=lambda target: target[:40])
def test_no_other_spelling_leads_to_the_control_api_or_to_another_world(ground: Ground, target: str) -> None:
    for method in ("POST", "GET"):
        reply = ground.ask(method, target.encode().decode("latin-1"), "Content-Length: 0")
        assert reply.status >= 400 or b'"world":"default"' in reply.body, (target, reply)  # the page at /
        assert b'"reset"' not in reply.body, (target, reply)
    assert ground.resets == []


@pytest.mark.parametrize(
    "target", [t.replace("_emu/reset", "v1/agents") for t in RESET_SPELLINGS if t.startswith("/w")]
)
def test_no_spelling_of_a_world_lets_another_worlds_key_in(ground: Ground, target: str) -> None:
    for key in (KEY, OTHERS):
        reply = ground.ask("GET", target.encode().decode("latin-1"), f"Authorization: Bearer {key}")
        assert reply.status >= 400, (target, reply)
        assert b"agt_" not in reply.body


def test_the_true_spellings_do_lead_there(ground: Ground) -> None:
    for target, name in (("/_emu/reset", "default"), ("/w/side/_emu/reset", "side"), ("/w/side/~x/_emu/reset", "side")):
        assert ground.ask("POST", target, "Content-Length: 0").status == 200
        assert ground.resets == [name], target
        ground.resets.clear()


GATEWAY_SPELLINGS = (
    "/_emu/reset",
    "/_emu/world",
    "/_emu",
    "/_emu/checkout/../reset",
    "/_emu/checkout/..%2freset",
    "/_emu/checkout/x/../../reset",
    "//_emu/reset",
    "/%5femu/reset",
    "/./_emu/reset",
    "/w/side/_emu/reset",
    "/w/default/_emu/reset",
    "/v1/../_emu/reset",
)


@pytest.mark.parametrize("host", ["api.getstack.run", "mcp.getstack.run", "api.anthropic.com", "api.openai.com"])
def test_no_real_name_leads_to_the_control_api(ground: Ground, host: str) -> None:
    proxy = ground.gateway.url("default")
    secret = proxy.partition("//")[2].partition("@")[0]
    port = int(proxy.rpartition(":")[2])
    credentials = base64.b64encode(secret.encode()).decode()
    for path in GATEWAY_SPELLINGS:
        for method in ("GET", "POST"):
            lines = (f"Proxy-Authorization: Basic {credentials}", "Content-Length: 0")
            [reply] = ask(port, request(method, f"http://{host}{path}", host, *lines))
            assert reply.status >= 400, (path, reply)
            assert secret.encode() not in reply.body
    assert ground.resets == []


# --- web pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ("Origin: http://127.0.0.1:3000",),
        ("Origin: http://localhost:3000",),
        ("Origin: http://[::1]:3000",),
        ("Origin: https://127.0.0.1",),
        ("Origin: http://{own}", "Origin: http://localhost:3000"),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
        ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"),
        ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: navigate"),
    ],
)
@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_simple_request_of_another_page_is_refused_by_the_control_api(
    ground: Ground, lines: tuple[str, ...], media: str
) -> None:
    body = b'{"name": "made"}'
    given = [line.format(own=ground.host) for line in lines] + ([f"Content-Type: {media}"] if media else [])
    for target in ("/_emu/reset", "/_emu/worlds", "/_emu/clock/advance", "/w/side/_emu/reset"):
        reply = ground.ask("POST", target, *given, f"Content-Length: {len(body)}", body=body)
        assert reply.status == 403, (target, reply)
    assert ground.resets == []
    assert ground.served.server.hosting.get("made") is None


def test_the_servers_own_pages_and_programs_may_use_the_control_api(ground: Ground) -> None:
    for lines in (
        (),
        (f"Origin: http://{ground.host}", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"),
        ("Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    ):
        assert ground.ask("GET", "/_emu/world", *lines).status == 200, lines


ATTACK = """<!doctype html><title>elsewhere</title><script>
const target = %(url)r;
const simple = (path, type) => fetch(target + path, {method: 'POST', mode: 'no-cors', body: '{"name": "made"}',
  headers: {'Content-Type': type}}).catch(() => 0);
const form = document.createElement('form');
form.method = 'post'; form.action = target + '/_emu/reset'; form.target = 'inside';
window.attack = async () => {
  const frame = document.createElement('iframe'); frame.name = 'inside'; document.body.append(frame);
  document.body.append(form);
  const loaded = new Promise(done => frame.onload = done); form.submit(); await loaded;
  for (const type of ['text/plain', 'application/x-www-form-urlencoded'])
    for (const path of ['/_emu/reset', '/_emu/worlds', '/w/side/_emu/reset']) await simple(path, type);
  const read = await fetch(target + '/_emu/world').then(r => r.text()).catch(() => 'unreadable');
  const framed = document.createElement('iframe'); framed.src = target + '/_emu/world'; document.body.append(framed);
  await new Promise(done => framed.onload = done);
  return read;
};
</script><body></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; .ci/run installs one")
def test_a_page_on_another_port_does_nothing_in_a_real_browser(ground: Ground, httpserver: Any) -> None:
    from playwright.async_api import async_playwright

    page_text = ATTACK % {"url": ground.served.base_url}
    httpserver.expect_request("/").respond_with_data(page_text, content_type="text/html")

    async def visit() -> str:
        async with async_playwright() as playwright:
            options = ["--no-sandbox", "--no-proxy-server"]
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=options)
            try:
                page = await browser.new_page()
                await page.goto(httpserver.url_for("/"))
                return str(await page.evaluate("attack()"))
            finally:
                await browser.close()

    seen = ground.served.server.hosting
    before = {hosted.world.name for hosted in seen}
    assert asyncio.run(visit()) == "unreadable"
    assert ground.resets == []
    assert {hosted.world.name for hosted in seen} == before


def test_the_recorder_answers_names_of_this_machine_only(ground: Ground, httpserver: Any) -> None:
    httpserver.expect_request("/private").respond_with_data("private")

    async def begin() -> Recorder:
        made = Recorder(httpserver.url_for(""), "api.example.com")
        await made.start()
        return made

    recorder = asyncio.run_coroutine_threadsafe(begin(), ground.served.loop).result(10)
    try:
        own = f"127.0.0.1:{recorder.port}"
        for host, lines, status in (
            (own, (), 200),
            ("evil.example", (), 421),
            (own, ("Origin: https://evil.example",), 403),
        ):
            [reply] = ask(recorder.port, request("GET", "/private", host, *lines))
            assert reply.status == status
        assert len(recorder.exchanges) == 1
    finally:
        asyncio.run_coroutine_threadsafe(recorder.stop(), ground.served.loop).result(10)
