"""Deliveries: webhooks on this machine are really called, signed, and called again until they accept."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from stack_emu.client import EmulatorClient, WorldClient
from stack_emu.domain import deliveries
from tests.families.passport_world import OPERATOR, issue
from tests.families.webhook_world import START_S, WORLD, Receiver


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


def hooked(stack: Any, emu: WorldClient, url: str, **rule: Any) -> Any:
    """A verified webhook with a channel that leads there."""
    made = stack.delivery_methods.add("webhook", url)
    stack.delivery_methods.send_verification_code(made["id"])
    assert stack.delivery_methods.verify(made["id"], emu.outbox.code(url))["verified"]
    stack.notifications.create("webhook", url, **rule)
    return made


def signed(secret: str, stamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def of_event(emu: WorldClient, event: str = "passport.revoked") -> dict[str, Any]:
    return next(item for item in emu.deliveries if item["event"] == event)


def test_the_verification_code_of_a_webhook_on_this_machine_is_posted_to_it(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert receiver.arrived.wait(10)
        body = json.loads(receiver.requests[0][2])
        assert (body["type"], body["destination_id"]) == ("destination.verification", made["id"])
        assert stack.delivery_methods.verify(made["id"], body["code"])["verified"] is True


def test_an_event_is_posted_signed_without_a_further_request(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver:
        made = hooked(stack, emu, receiver.url)
        jti = issue(stack).jti
        assert len(emu.deliveries) == 1  # the code
        receiver.arrived.clear()
        stack.passports.revoke(jti, reason="lost")
        assert receiver.arrived.wait(10)
        path, headers, body = receiver.requests[-1]
        assert path == "/hook"
        assert headers["content-type"] == "application/json"
        assert (headers["x-stack-event"], headers["x-stack-attempt"]) == ("passport.revoked", "1")
        stamp, value = (part.partition("=")[2] for part in headers["x-stack-signature"].split(","))
        assert (stamp, value) == (str(START_S), signed(made["webhook_secret"], stamp, body))
        event = json.loads(body)
        assert (event["type"], event["severity"], event["operator_id"]) == ("passport.revoked", "warning", "op_emu")
        assert (event["data"]["jtis"], event["data"]["reason"]) == ([jti], "lost")
        delivery = of_event(emu)
        assert delivery["id"] == headers["x-stack-delivery"]
        assert (delivery["status"], delivery["attempts"][0]["status"]) == ("delivered", 200)
    entry = next(entry for entry in emu.journal if entry["surface"] == "webhook")
    assert (entry["path"], entry["status"]) == (receiver.url, 200)


def test_a_rotated_secret_signs_what_follows(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver:
        made = hooked(stack, emu, receiver.url)
        fresh = stack.delivery_methods.rotate_secret(made["id"])["webhook_secret"]
        stack.delivery_methods.test(made["id"])
        assert emu.deliveries[-1]["status"] == "delivered"
        _, headers, body = receiver.requests[-1]
        assert headers["x-stack-signature"].endswith(signed(fresh, str(START_S), body))


def test_what_is_not_accepted_is_tried_again_on_the_worlds_clock(stack: Any, emu: WorldClient) -> None:
    with Receiver(200, 500, 404, 503, 200).running() as receiver:
        hooked(stack, emu, receiver.url)
        assert len(emu.deliveries) == 1
        stack.passports.revoke(issue(stack).jti)
        first = of_event(emu)
        assert (first["status"], len(first["attempts"])) == ("pending", 1)
        assert first["next_attempt_at"] == "2026-01-01T00:00:05.000Z"
        assert emu.clock.advance("5s") == 1
        assert of_event(emu)["next_attempt_at"] == "2026-01-01T00:00:35.000Z"
        emu.clock.advance("10m")
        done = of_event(emu)
        assert (done["status"], [attempt["status"] for attempt in done["attempts"]]) == (
            "delivered",
            [500, 404, 503, 200],
        )
        assert [attempt["at"] for attempt in done["attempts"]] == [
            "2026-01-01T00:00:00.000Z",
            "2026-01-01T00:00:05.000Z",
            "2026-01-01T00:00:35.000Z",
            "2026-01-01T00:05:35.000Z",
        ]
        sent = receiver.requests[1:]
        assert len({body for _, _, body in sent}) == 1
        assert len({headers["x-stack-delivery"] for _, headers, _ in sent}) == 1
        assert [headers["x-stack-attempt"] for _, headers, _ in sent] == ["1", "2", "3", "4"]
        assert [headers["x-stack-signature"].partition(",")[0] for _, headers, _ in sent] == [
            f"t={START_S + offset}" for offset in (0, 5, 35, 335)
        ]


def test_one_advance_goes_through_every_attempt_and_then_gives_up(stack: Any, emu: WorldClient) -> None:
    with Receiver(200, 500).running() as receiver:
        hooked(stack, emu, receiver.url)
        assert len(emu.deliveries) == 1
        stack.passports.revoke(issue(stack).jti)
        emu.clock.advance("1h")
        given_up = of_event(emu)
        assert (given_up["status"], len(given_up["attempts"])) == ("failed", len(deliveries.BACKOFF_MS))
        assert "500" in given_up["reason"]
        assert given_up["attempts"][-1]["at"] == "2026-01-01T00:35:35.000Z"
        count = len(receiver.requests)
        emu.clock.advance("24h")
        assert len(receiver.requests) == count


def test_attempts_that_fell_due_while_nobody_looked_are_made_up_for(stack: Any, emu: WorldClient, served: Any) -> None:
    with Receiver(500).running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert emu.deliveries[0]["next_attempt_at"] == "2026-01-01T00:00:05.000Z"
        served.advance(3_600_000)
        assert (emu.deliveries[0]["status"], len(receiver.requests)) == ("failed", len(deliveries.BACKOFF_MS))


def test_a_world_that_is_removed_drops_what_it_sends(sdk: Any, served: Any) -> None:
    client = EmulatorClient(served.base_url)
    world = client.create_world("short", scenario_yaml=WORLD)
    stack, held = sdk(world.base_url, OPERATOR), threading.Event()
    with Receiver().running(wait=lambda: held.wait(10)) as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert receiver.arrived.wait(10)
        client.remove_world("short")
        held.set()
    assert served.server.hosting.sender._under_way == {}
    world.connection.close()
    client.close()


def test_a_receiver_that_is_not_there_breaks_nothing(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver:
        hooked(stack, emu, receiver.url)
        assert len(emu.deliveries) == 1
    jti = issue(stack).jti
    assert stack.passports.revoke(jti)["revoked"] is True
    delivery = of_event(emu)
    assert (delivery["status"], delivery["attempts"][0]["status"]) == ("pending", None)
    assert "gave no answer" in delivery["attempts"][0]["problem"]


def test_redirects_are_not_followed(stack: Any, emu: WorldClient) -> None:
    with Receiver().running() as receiver, Receiver().running() as elsewhere:
        hooked(stack, emu, receiver.url)
        assert len(emu.deliveries) == 1
        receiver.statuses, receiver.headers = [307], {"Location": elsewhere.url}
        stack.passports.revoke(issue(stack).jti)
        attempt = of_event(emu)["attempts"][0]
        assert attempt["status"] == 307
        assert "redirects are not followed" in attempt["problem"]
        assert elsewhere.requests == []


def test_an_answer_that_never_ends_is_cut_off(stack: Any, emu: WorldClient) -> None:
    with Receiver(body=b"x" * 2_000_000).running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert "more than 1024 KiB" in emu.deliveries[0]["attempts"][0]["problem"]


@pytest.mark.parametrize("url", ["https://hooks.example.com/x", "http://10.0.0.1/x", "http://127.0.0.1.nip.io/x"])
def test_nothing_is_sent_beyond_this_machine(stack: Any, emu: WorldClient, url: str) -> None:
    hooked(stack, emu, url)
    stack.passports.revoke(issue(stack).jti)
    held = of_event(emu)
    assert (held["status"], held["attempts"], held["next_attempt_at"]) == ("held", [], None)
    assert "not this machine" in held["reason"]
    assert [message["event"] for message in emu.outbox.to(url)] == ["destination.verification", "passport.revoked"]


def test_what_waits_is_dropped_with_its_destination(stack: Any, emu: WorldClient) -> None:
    with Receiver(500).running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert emu.deliveries[0]["status"] == "pending"
        stack.delivery_methods.delete(made["id"])
        emu.clock.advance("1h")
        dropped = emu.deliveries[0]
        assert (dropped["status"], len(dropped["attempts"]), len(receiver.requests)) == ("dropped", 1, 1)
        assert made["id"] in dropped["reason"]


def test_a_reset_drops_what_is_under_way(stack: Any, emu: WorldClient) -> None:
    held = threading.Event()
    with Receiver().running(wait=lambda: held.wait(10)) as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert receiver.arrived.wait(10)
        emu.reset()
        assert emu.deliveries == []
        held.set()
        again = stack.delivery_methods.add("webhook", receiver.url)
        assert again["id"] == made["id"]
        stack.delivery_methods.send_verification_code(made["id"])
        assert [attempt["status"] for attempt in emu.deliveries[0]["attempts"]] == [200]


def test_a_snapshot_holds_what_waits_and_sends_it_again(stack: Any, emu: WorldClient) -> None:
    with Receiver(500, 200).running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        emu.snapshot("waiting")
        for count in (2, 3):
            assert emu.deliveries[0]["status"] == "pending"
            emu.clock.advance("5s")
            assert (emu.deliveries[0]["status"], len(receiver.requests)) == ("delivered", count)
            emu.restore("waiting")


def test_the_same_program_sends_the_same_bytes_and_leaves_the_same_log(sdk: Any, serve: Any) -> None:
    seen, logs = [], []
    with Receiver().running() as receiver:
        for _ in range(2):
            served = serve(WORLD)
            stack, emu = sdk(served.base_url, OPERATOR), WorldClient.connect(served.base_url)
            hooked(stack, emu, receiver.url)
            stack.passports.revoke(issue(stack).jti)
            assert all(item["status"] == "delivered" for item in emu.deliveries)
            wanted = ("x-stack-delivery", "x-stack-signature", "x-stack-event")
            # The code and the event may be under way together: what is sent is fixed, not the order of arrival.
            seen.append(sorted((body, *(headers[name] for name in wanted)) for _, headers, body in receiver.requests))
            receiver.requests.clear()
            logs.append(emu.audit.canonical())
            emu.connection.close()
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2
    assert logs[0] == logs[1]


def test_under_a_real_clock_nothing_has_to_ask(sdk: Any, serve: Any) -> None:
    served = serve("stack_emu: 1\noperator: {id: op_emu, keys: [{key: sk_live_emu_op}]}\n")
    stack, emu = sdk(served.base_url, OPERATOR), WorldClient.connect(served.base_url)
    with Receiver(500, 200).running() as receiver:
        made = stack.delivery_methods.add("webhook", receiver.url)
        stack.delivery_methods.send_verification_code(made["id"])
        assert receiver.arrived.wait(10)
        receiver.arrived.clear()
        assert emu.deliveries[0]["status"] == "pending"
        emu.clock.advance("5s")
        assert emu.deliveries[0]["status"] == "delivered"
    emu.connection.close()
