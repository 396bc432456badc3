"""The request that leaves the proxy and the reply that comes back: URLs, headers, bodies, credentials, scrubbing."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import getstack
import pytest

from stack_emu.domain.proxy_injection import Scrubber, envelope, target_of
from stack_emu.kernel.errors import Fault
from stack_emu.upstreams.requests import UpstreamReply
from tests.families.proxy_world import ECHO, OPERATOR, SECRET, WORLD, echoed, raw_proxy, token

MASK = "<secret:scon_x>"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://API.example.com/a/../b/./c", "https://api.example.com/b/c"),
        ("https://api.example.com/a/%2e%2e/b", "https://api.example.com/b"),
        ("https://api.example.com/api/chat%2EpostMessage", "https://api.example.com/api/chat.postMessage"),
        ("https://api.example.com/a%2Fb", "https://api.example.com/a%2Fb"),
        ("https://api.example.com", "https://api.example.com/"),
        ("https://api.example.com/x?y=1#frag", "https://api.example.com/x"),
    ],
)
def test_a_url_is_brought_to_the_form_that_is_both_checked_and_sent(url: str, normal: str) -> None:
    assert target_of(url, None).url == normal


def test_query_parameters_of_url_and_map_are_joined() -> None:
    target = target_of("https://x.example/?a=1&b=%20", {"c": True, "d": [1, "two"]})
    assert target.query == (("a", "1"), ("b", " "), ("c", "true"), ("d", "1"), ("d", "two"))


@pytest.mark.parametrize(
    "url", ["https://slack.com@evil.example/", "https://u:p@slack.com/", "https:///x", "https://x:99999/"]
)
def test_a_url_that_misleads_is_refused(url: str) -> None:
    with pytest.raises(Fault) as caught:
        target_of(url, None)
    assert caught.value.code == "INVALID_REQUEST"


def test_the_callers_credentials_never_reach_the_upstream(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    sent = {
        "Authorization": "Bearer mine",
        "Cookie": "session=mine",
        "X-API-Key": "mine",
        "Proxy-Authorization": "Basic mine",
        "X-Passport-Token": "mine",
        "X-STACK-Anything": "mine",
        "Host": "evil.example.com",
        "Transfer-Encoding": "chunked",
        "X-Kept": "yes",
        "Accept": "application/json",
    }
    reply = sdk(served.base_url, OPERATOR).proxy.get("echo", ECHO, headers=sent, passport_token=token(served))
    seen = echoed(reply)["headers"]
    assert seen["authorization"] == "Bearer <secret:scon_echo>"
    assert (seen["x-kept"], seen["accept"]) == ("yes", "application/json")
    assert not {"cookie", "x-api-key", "proxy-authorization", "x-passport-token", "x-stack-anything", "host"} & set(
        seen
    )
    assert "mine" not in json.dumps(seen)


@pytest.mark.parametrize(
    ("body", "headers", "text", "media"),
    [
        ({"a": "ü"}, {}, '{"a":"ü"}', "application/json"),
        ([1, 2], {}, "[1,2]", "application/json"),
        ("plain", {}, "plain", "text/plain; charset=utf-8"),
        ("a=1", {"content-type": "application/x-www-form-urlencoded"}, "a=1", "application/x-www-form-urlencoded"),
        ({"a": 1}, {"Content-Type": "application/vnd.api+json"}, '{"a":1}', "application/vnd.api+json"),
        (False, {}, "false", "application/json"),
    ],
)
def test_bodies_go_out_as_json_or_as_the_text_they_are(
    serve: Callable[..., Any], body: Any, headers: dict[str, str], text: str, media: str
) -> None:
    served = serve(WORLD)
    payload = {"service": "echo", "url": ECHO, "method": "POST", "body": body, "headers": headers}
    seen = echoed(raw_proxy(served, payload))
    assert (seen["text"], seen["headers"]["content-type"]) == (text, media)


def test_a_header_that_http_does_not_allow_is_refused(serve: Callable[..., Any]) -> None:
    served = serve(WORLD)
    for headers in ({"X-A": "1\r\nX-B: 2"}, {"X A": "1"}):
        reply = raw_proxy(served, {"service": "echo", "url": ECHO, "headers": headers})
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("provider", "credential", "header", "value"),
    [
        ("custom_x", "{fields: {token: secret-t0ken}}", "authorization", "Bearer secret-t0ken"),
        ("custom_x", "{fields: {api_key: secret-k3y, region: eu}}", "authorization", "Bearer secret-k3y"),
        (
            "custom_x",
            "{fields: {username: ada, password: secret-pw}}",
            "authorization",
            "Basic " + base64.b64encode(b"ada:secret-pw").decode(),
        ),
        ("anthropic", "sk-ant-secret", "x-api-key", "sk-ant-secret"),
        ("pagerduty", "secret-pd", "authorization", "Token token=secret-pd"),
        ("datadog", "{fields: {api_key: secret-dd, app_key: secret-app}}", "dd-application-key", "secret-app"),
        ("custom_x", "{fields: {X-One: secret-one, X-Two: secret-two}}", "x-two", "secret-two"),
    ],
)
def test_a_credential_goes_where_its_provider_wants_it(
    serve: Callable[..., Any], provider: str, credential: str, header: str, value: str
) -> None:
    wanted = f"{{when: {{headers: {{{header}: '{value}'}}}}, reply: {{json: {{right: true}}}}}}"
    text = f"""
stack_emu: 1
services: [{{id: scon_x, provider: {provider}, upstream: up, credential: {credential}}}]
upstreams: {{up: {{hosts: [up.example.com], routes: [{wanted}]}}}}
"""
    served = serve(text)
    reply = raw_proxy(served, {"service": "scon_x", "url": "https://up.example.com/"}, "sk_live_emu_operator")
    assert reply.json()["body"] == {"right": True}, reply.text
    assert not served.world.journal.violations()


PLACEHOLDERS = """
stack_emu: 1
services:
  - {id: scon_full, provider: salesforce, upstream: sf, instance_url: "https://acme.my.example.com", account_id: "a/1"}
  - {id: scon_host, provider: shopify, upstream: sf, instance_url: acme.my.example.com}
  - {id: scon_none, provider: zendesk, upstream: sf}
upstreams:
  sf: {hosts: [acme.my.example.com], routes: [{reply: {json: {path: "{{ request.path }}"}}}]}
"""


@pytest.mark.parametrize(
    ("service", "url", "path"),
    [
        ("salesforce", "{{instance_url}}/data", "/data"),
        ("salesforce", "https://{{instance_url}}/data", "/data"),
        ("shopify", "{{ instance_url }}/data", "/data"),
        ("shopify", "https://{{instance_url}}/data", "/data"),
        ("salesforce", "https://acme.my.example.com/{{account_id}}/x", "/a%2F1/x"),
    ],
)
def test_placeholders_in_the_url_are_filled_in_from_the_connection(
    serve: Callable[..., Any], sdk: Any, service: str, url: str, path: str
) -> None:
    served = serve(PLACEHOLDERS)
    assert sdk(served.base_url).proxy.get(service, url).body == {"path": path}


@pytest.mark.parametrize(
    ("service", "url", "named"),
    [
        ("zendesk", "{{instance_url}}/x", "scon_none has no instance_url"),
        ("shopify", "https://acme.my.example.com/{{account_id}}", "scon_host has no account_id"),
        ("shopify", "https://acme.my.example.com/{{tenant}}", "tenant"),
    ],
)
def test_a_placeholder_without_a_value_is_named(
    serve: Callable[..., Any], sdk: Any, service: str, url: str, named: str
) -> None:
    served = serve(PLACEHOLDERS)
    with pytest.raises(getstack.StackError, match=named) as caught:
        sdk(served.base_url).proxy.get(service, url)
    assert (caught.value.status_code, caught.value.code) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        html.escape(SECRET),
        json.dumps(SECRET),
        SECRET.encode().hex(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"user:" + SECRET.encode() + b":more").decode(),
        base64.b64encode(b"us:" + SECRET.encode()).decode(),
        base64.urlsafe_b64encode(b"u" + SECRET.encode()).decode(),
    ],
)
@pytest.mark.parametrize("media", ["text/plain", "application/json", "image/png", "text/html; charset=utf-8"])
def test_no_form_of_the_secret_goes_back(form: str, media: str) -> None:
    body = json.dumps({"deep": [{"echo": f"a {form} b"}], form: 1}) if "json" in media else f"a {form} b"
    raw = body.encode() + (b"\xff" if media == "image/png" else b"")
    scrubber = Scrubber([SECRET], MASK)
    shown = envelope(UpstreamReply(200, {"Content-Type": media, "X-Echo": form}, raw), scrubber)
    text = json.dumps(shown)
    if media == "image/png":
        text += base64.b64decode(shown["body"]["base64"]).decode("latin-1")
    assert scrubber.found
    core = base64.b64encode(SECRET.encode()).decode()[4:-4]
    for trace in (SECRET, SECRET[3:-3], quote(SECRET)[3:-6], core, SECRET.encode().hex()):
        assert trace not in text


def test_a_reply_that_says_nothing_of_the_secret_is_untouched() -> None:
    scrubber = Scrubber([SECRET], MASK)
    data = b'{"text": "hello \\ud83d\\ude00 \\u00fc", "n": 1.5, "list": [null, true]}'
    reply = UpstreamReply(201, {"X-A": "1", "Connection": "close", "Content-Encoding": "gzip"}, data)
    shown = envelope(reply, scrubber)
    assert shown == {
        "status": 201,
        "headers": {"x-a": "1"},
        "body": {"text": "hello 😀 ü", "n": 1.5, "list": [None, True]},
    }
    assert not scrubber.found


@pytest.mark.parametrize("body", ["{not json", '{"a": NaN}', '{"a": "\\ud800"}'])
def test_what_is_no_json_although_it_says_so_is_passed_on_as_text(body: str) -> None:
    shown = envelope(UpstreamReply(200, {"Content-Type": "application/json"}, body.encode()), Scrubber([], MASK))
    assert shown["body"] == body


def test_an_empty_reply_has_no_body(serve: Callable[..., Any], sdk: Any) -> None:
    served = serve(WORLD)
    reply = sdk(served.base_url, OPERATOR).proxy.delete("echo", f"{ECHO}/empty", passport_token=token(served))
    assert (reply.status, reply.body) == (204, None)


def test_repeated_headers_are_joined() -> None:
    reply = UpstreamReply(200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"")
    assert envelope(reply, Scrubber([], MASK))["headers"] == {"set-cookie": "a=1, b=2"}
