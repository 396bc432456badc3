"""Inbound webhooks: made for an agent, called by providers, checked over the raw bytes, passed on or kept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import getstack
import httpx
import pytest

from stack_emu.client import WorldClient
from tests.families.drivers import McpTools
from tests.families.passport_world import OPERATOR, OTHER, READER, bearer, error, get, post, row
from tests.families.webhook_world import START_S, WORLD, Receiver

PATH = "/v1/operator/inbound-webhooks"
KEY = b"the key agentmail signs with"
AGENTMAIL_SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"event": "message.received", "text": "caf\xc3\xa9"}'


@pytest.fixture
def served(serve: Any) -> Any:
    return serve(WORLD)


@pytest.fixture
def stack(sdk: Any, served: Any) -> Any:
    return sdk(served.base_url, OPERATOR)


@pytest.fixture
def emu(served: Any) -> Iterator[WorldClient]:
    world = WorldClient.connect(served.base_url)
    yield world
    world.connection.close()


def send(made: Any, body: bytes = BODY, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return httpx.post(made["webhook_url"], content=body, headers={b"Content-Type": b"application/json", **named})


def generic(made: Any, body: bytes = BODY, algorithm: str = "sha256") -> str:
    return hmac.new(made["incoming_signing_secret"].encode(), body, algorithm).hexdigest()


def svix(body: bytes = BODY, name: str = "msg_1", at: int = START_S, key: bytes = KEY) -> dict[str, str]:
    digest = hmac.digest(key, f"{name}.{at}.".encode() + body, "sha256")
    return {
        "svix_id": name,
        "svix_timestamp": str(at),
        "svix_signature": "v1,bm90IHRoaXMgb25l v1," + base64.b64encode(digest).decode(),
    }


def agentmail(stack: Any, **options: Any) -> Any:
    made = stack.inbound_webhooks.create("agentmail", "agt_logged", **options)
    stack.inbound_webhooks.set_provider_signing_secret(made["id"], AGENTMAIL_SECRET)
    return made


# --- the webhooks themselves -----------------------------------------------------------------------------------------


def test_a_webhook_is_made_with_its_secrets_and_read_without(stack: Any, served: Any) -> None:
    made = stack.inbound_webhooks.create(
        "generic", "agt_logged", forward_url="http://127.0.0.1:9/x", generic_config={"signature_header": "X-Sig"}
    )
    assert made["id"].startswith("iwh_")
    assert made["webhook_url"] == f"{served.base_url}/v1/webhooks/inbound/{made['slug']}"
    assert made["webhook_secret"] != made["incoming_signing_secret"]
    assert (made["agent_id"], made["provider"], made["status"]) == ("agt_logged", "generic", "active")
    assert made["generic_config"]["signature_header"] == "X-Sig"
    got = stack.inbound_webhooks.get(made["id"])
    assert "webhook_secret" not in got
    assert got == {name: made[name] for name in got}
    assert stack.inbound_webhooks.list() == [got]
    for secret in (made["webhook_secret"], made["incoming_signing_secret"]):
        assert served.world.redactor.names_in(secret)
    assert row(served, "inbound_webhook.create").agent_id == "agt_logged"


def test_agentmail_waits_for_the_secret_of_its_provider(stack: Any) -> None:
    made = stack.inbound_webhooks.create("agentmail", "agt_logged")
    assert (made["status"], made["incoming_signing_secret"]) == ("awaiting_secret", None)
    assert error(send(made, **svix())) == (401, "UNAUTHORIZED")
    done = stack.inbound_webhooks.set_provider_signing_secret(made["id"], AGENTMAIL_SECRET)
    assert (done["status"], done["webhook_secret"]) == ("active", None)
    assert send(made, **svix()).status_code == 202


def test_a_secret_agentmail_never_gives_is_refused(stack: Any) -> None:
    made = stack.inbound_webhooks.create("agentmail", "agt_logged")
    with pytest.raises(getstack.StackError) as refused:
        stack.inbound_webhooks.set_provider_signing_secret(made["id"], "not base64, but long")
    assert (refused.value.status_code, refused.value.code) == (400, "INVALID_REQUEST")
    assert "not base64, but long" not in str(refused.value)


def test_a_generic_webhook_gets_a_new_downstream_secret_unless_one_is_given(
    stack: Any, emu: WorldClient, served: Any
) -> None:
    with Receiver().running() as receiver:
        made = stack.inbound_webhooks.create("generic", "agt_logged", forward_url=receiver.url)
        ours = "the providers own secret"
        done = stack.inbound_webhooks.set_provider_signing_secret(made["id"], ours)
        assert done["webhook_secret"] not in (None, made["webhook_secret"])
        assert error(send(made, x_signature=generic(made))) == (401, "UNAUTHORIZED")
        made["incoming_signing_secret"] = ours
        assert send(made, x_signature=generic(made)).status_code == 202
        assert emu.deliveries[-1]["status"] == "delivered"
        assert of(receiver, done["webhook_secret"])
        downstream = "a downstream secret of ours"
        given = stack.inbound_webhooks.set_provider_signing_secret(made["id"], ours, downstream)
        assert given["webhook_secret"] is None
        assert send(made, x_signature=generic(made)).status_code == 202
        assert emu.deliveries[-1]["status"] == "delivered"
        assert of(receiver, downstream)
    journal = json.dumps(emu.journal)
    assert ours not in journal
    assert downstream not in journal


def of(receiver: Receiver, secret: str) -> bool:
    """Whether the last request was signed with a secret."""
    _, headers, body = receiver.requests[-1]
    stamp, value = (part.partition("=")[2] for part in headers["x-stack-signature"].split(","))
    return value == hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def test_a_revoked_webhook_answers_no_more_and_stays_in_the_list(stack: Any, emu: WorldClient, served: Any) -> None:
    with Receiver(500).running() as receiver:
        made = stack.inbound_webhooks.create("generic", "agt_logged", forward_url=receiver.url)
        assert send(made, x_signature=generic(made)).status_code == 202
        assert emu.deliveries[0]["status"] == "pending"
        done = stack.inbound_webhooks.revoke(made["id"])
        assert done == {"id": made["id"], "revoked": True, "revoked_at": "2026-01-01T00:00:00.000Z"}
        assert stack.inbound_webhooks.revoke(made["id"]) == done
        assert error(send(made, x_signature=generic(made))) == (404, "NOT_FOUND")
        assert stack.inbound_webhooks.list()[0]["status"] == "revoked"
        emu.clock.advance("1h")
        assert (emu.deliveries[0]["status"], len(receiver.requests)) == ("dropped", 1)
        with pytest.raises(getstack.StackError) as refused:
            stack.inbound_webhooks.set_provider_signing_secret(made["id"], "another secret of it")
        assert refused.value.status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "generic"},
        {"provider": "mailgun", "agent_id": "agt_logged"},
        {"provider": "generic", "agent_id": "agt_logged", "forward_url": "file:///etc/passwd"},
        {"provider": "generic", "agent_id": "agt_logged", "generic_config": {"algorithm": "md5"}},
        {"provider": "generic", "agent_id": "agt_logged", "generic_config": {"signature_header": "X: y"}},
        {"provider": "agentmail", "agent_id": "agt_logged", "generic_config": {}},
    ],
)
def test_what_cannot_be_is_refused(served: Any, body: dict[str, Any]) -> None:
    assert error(post(served, PATH, body)) == (400, "INVALID_REQUEST")
    assert get(served, PATH).json() == {"webhooks": []}


def test_who_may_do_what(stack: Any, served: Any) -> None:
    made = stack.inbound_webhooks.create("generic", "agt_logged")
    assert len(get(served, PATH, READER).json()["webhooks"]) == 1
    body = {"provider": "generic", "agent_id": "agt_logged"}
    assert error(post(served, PATH, body, READER)) == (403, "FORBIDDEN")
    assert error(post(served, PATH, body, OTHER)) == (404, "NOT_FOUND")
    assert get(served, PATH, OTHER).json() == {"webhooks": []}
    secret = {"signing_secret": "a secret of somebody else"}
    for name in (made["id"], "iwh_none"):
        url = f"{served.base_url}{PATH}/{name}"
        assert error(httpx.get(url, headers=bearer(OTHER))) == (404, "NOT_FOUND")
        assert error(httpx.delete(url, headers=bearer(OTHER))) == (404, "NOT_FOUND")
        put = httpx.put(f"{url}/provider-signing-secret", json=secret, headers=bearer(OTHER))
        assert error(put) == (404, "NOT_FOUND")
    assert send(made, x_signature=generic(made)).status_code == 202


def test_ids_with_a_slash_are_one_segment(stack: Any) -> None:
    with pytest.raises(getstack.NotFoundError):
        stack.inbound_webhooks.set_provider_signing_secret("iwh/1", "s" * 32)


# --- what arrives ----------------------------------------------------------------------------------------------------


def test_what_a_generic_provider_signs_is_kept_for_the_agent(stack: Any, emu: WorldClient, served: Any) -> None:
    made = stack.inbound_webhooks.create("generic", "agt_logged")
    answer = send(made, x_signature=generic(made), x_delivery_id="d-1")
    assert answer.status_code == 202
    (message,) = emu.received
    assert (message["id"], message["agent_id"], message["provider_id"]) == (answer.json()["id"], "agt_logged", "d-1")
    assert (message["body"], message["delivery_id"]) == (BODY.decode(), None)
    found = row(served, "inbound_webhook.receive")
    assert (found.outcome, found.agent_id, found.payload_hash) == (
        "success",
        "agt_logged",
        hashlib.sha256(BODY).hexdigest(),
    )
    assert "message.received" not in json.dumps([emu.journal, emu.audit.entries()])


@pytest.mark.parametrize("form", ["hex", "prefixed", "upper", "base64"])
@pytest.mark.parametrize("algorithm", ["hmac-sha256", "hmac-sha1"])
def test_generic_signatures_may_come_in_the_usual_forms(stack: Any, algorithm: str, form: str) -> None:
    config = {"signature_header": "X-Hub-Signature", "signature_algorithm": algorithm}
    made = stack.inbound_webhooks.create("generic", "agt_logged", generic_config=config)
    short = algorithm.removeprefix("hmac-")
    plain = generic(made, algorithm=short)
    forms = {
        "hex": plain,
        "prefixed": f"{short}={plain}",
        "upper": plain.upper(),
        "base64": base64.b64encode(bytes.fromhex(plain)).decode(),
    }
    assert send(made, x_hub_signature=forms[form]).status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x_signature": ""},
        {"x_signature": "00"},
        {"x_signature": "é"},
        {"x_other": "x"},
    ],
)
def test_a_wrong_signature_is_a_401_and_leaves_a_row(
    stack: Any, emu: WorldClient, served: Any, headers: dict[str, str]
) -> None:
    made = stack.inbound_webhooks.create("generic", "agt_logged")
    assert error(send(made, **headers)) == (401, "UNAUTHORIZED")
    assert error(send(made, BODY + b" ", x_signature=generic(made))) == (401, "UNAUTHORIZED")
    assert emu.received == []
    found = row(served, "inbound_webhook.receive")
    assert (found.outcome, found.error_code, found.agent_id) == ("blocked", "UNAUTHORIZED", "agt_logged")


def test_any_bytes_can_be_sent(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver:
        made = stack.inbound_webhooks.create("generic", "agt_logged", forward_url=receiver.url)
        for body in (b"", b"\xff\x00\xfe", b"[1", b"a=b&c=d"):
            assert send(made, body, x_signature=generic(made, body)).status_code == 202
            assert emu.deliveries[-1]["status"] == "delivered"
            assert receiver.requests[-1][2] == body
        big = b"x" * (1024 * 1024 + 1)
        assert error(send(made, big, x_signature=generic(made, big))) == (413, "INVALID_REQUEST")


def test_a_time_stamp_may_be_part_of_what_is_signed(stack: Any, emu: WorldClient) -> None:
    config = {"timestamp_header": "X-Time"}
    made = stack.inbound_webhooks.create("generic", "agt_logged", generic_config=config)

    def at(seconds: int) -> httpx.Response:
        signature = generic(made, f"{seconds}.".encode() + BODY)
        return send(made, x_signature=signature, x_time=str(seconds))

    assert at(START_S).status_code == 202
    assert error(send(made, x_signature=generic(made), x_time=str(START_S))) == (401, "UNAUTHORIZED")
    assert error(at(START_S - 301)) == (401, "UNAUTHORIZED")
    emu.clock.advance("10m")
    assert error(at(START_S)) == (401, "UNAUTHORIZED")
    assert at(START_S + 600).status_code == 202


def test_agentmail_signs_as_svix_does(stack: Any, emu: WorldClient) -> None:
    made = agentmail(stack)
    assert send(made, **svix()).json()["duplicate"] is False
    for wrong in (
        svix(b"something else"),
        svix(key=b"another key"),
        svix(at=START_S - 301),
        svix(at=START_S + 301),
        {**svix(), "svix_id": "msg_2"},
        {**svix(), "svix_timestamp": "soon"},
        {"svix_id": "msg_1"},
    ):
        assert error(send(made, **wrong)) == (401, "UNAUTHORIZED")
    emu.clock.advance("6m")
    assert error(send(made, **svix())) == (401, "UNAUTHORIZED")
    assert send(made, **svix(name="msg_3", at=START_S + 360)).status_code == 202
    assert [message["provider_id"] for message in emu.received] == ["msg_1", "msg_3"]


def test_a_repeated_delivery_is_taken_in_once(stack: Any, emu: WorldClient, served: Any) -> None:
    with Receiver().running() as receiver:
        made = agentmail(stack, forward_url=receiver.url)
        first, second = (send(made, **svix()).json() for _ in range(2))
        assert (second["duplicate"], second["id"]) == (True, first["id"])
        assert row(served, "inbound_webhook.receive").metadata["repeated"] is True
        assert len(emu.deliveries) == len(emu.received) == 1
        assert len(receiver.requests) == 1
        other = agentmail(stack)
        assert send(other, **svix()).json()["duplicate"] is False


def test_what_arrives_is_passed_on_signed_and_tried_again(stack: Any, emu: WorldClient) -> None:
    with Receiver(503, 200).running() as receiver:
        made = agentmail(stack, forward_url=receiver.url)
        assert send(made, **svix()).status_code == 202
        assert emu.deliveries[0]["status"] == "pending"
        emu.clock.advance("5s")
        assert emu.deliveries[0]["status"] == "delivered"
        _, headers, body = receiver.requests[-1]
        assert body == BODY
        assert headers["content-type"] == "application/json"
        assert headers["x-stack-event"] == "inbound.agentmail"
        assert of(receiver, made["webhook_secret"])
        assert emu.received[0]["delivery_id"] == headers["x-stack-delivery"]


def test_nothing_is_passed_on_beyond_this_machine(stack: Any, emu: WorldClient) -> None:
    made = agentmail(stack, forward_url="https://app.example.com/in")
    assert send(made, **svix()).status_code == 202
    assert (emu.deliveries[0]["status"], emu.deliveries[0]["attempts"]) == ("held", [])


def test_a_url_nobody_has_and_one_of_a_deleted_agent_are_not_found(stack: Any, served: Any) -> None:
    made = stack.inbound_webhooks.create("generic", "agt_helper")
    stack.agents.delete("agt_helper")
    before = len(served.rows())
    for url in (made["webhook_url"], f"{served.base_url}/v1/webhooks/inbound/in_nobody"):
        assert error(send({"webhook_url": url}, x_signature=generic(made))) == (404, "NOT_FOUND")
    assert len(served.rows()) == before


def test_the_url_stays_in_its_world(sdk: Any, served: Any) -> None:
    scenario = served.hosted.scenario
    served.call(lambda: served.server.hosting.create("second", scenario))
    made = sdk(f"{served.base_url}/w/second", OPERATOR).inbound_webhooks.create("generic", "agt_logged")
    assert f"{served.base_url}/w/second/v1/webhooks/inbound/" in made["webhook_url"]
    assert send(made, x_signature=generic(made)).status_code == 202
    here = {"webhook_url": made["webhook_url"].replace("/w/second", "")}
    assert error(send(here, x_signature=generic(made))) == (404, "NOT_FOUND")


def test_inbound_webhooks_are_tools(served: Any) -> None:
    tools = McpTools(served.base_url, OPERATOR)
    made = tools("stack_create_inbound_webhook", provider="generic", agent_id="agt_logged")
    assert send(made, x_signature=generic(made)).status_code == 202
    tools("stack_set_inbound_webhook_signing_secret", webhook_id=made["id"], signing_secret="s" * 32)
    assert tools("stack_list_inbound_webhooks")["webhooks"][0]["id"] == made["id"]
    assert tools("stack_revoke_inbound_webhook", webhook_id=made["id"])["revoked"] is True
    assert tools("stack_get_inbound_webhook", webhook_id=made["id"])["status"] == "revoked"
    refused, failed = tools.result("stack_get_inbound_webhook", webhook_id="iwh_none")
    assert failed
    assert refused["error"]["code"] == "NOT_FOUND"
