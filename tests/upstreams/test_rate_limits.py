"""An injected 429 is each SDK's own rate limit, and its own way of waiting and trying again works.

Waits are cut by the options of the SDKs, or written down where an SDK has no option: no test waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import stripe
from github import Auth, Github, GithubException, GithubRetry, RateLimitExceededException
from notion_client import APIResponseError, AsyncClient, Client
from notion_client.client import RetryOptions
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import builtin_async_handlers, builtin_handlers
from slack_sdk.web.async_client import AsyncWebClient

from stack_emu.kernel.faults import FaultRule
from stack_emu.upstreams.slack import messages
from tests.upstreams.conftest import SLACK_SEED, TOKEN, Service

Serve = Callable[..., Service]
PAGE = "11111111-0000-4000-8000-000000000000"


def limited(service: Service, times: int, headers: dict[str, str] | None = None, **inject: Any) -> None:
    """Turn the next calls of a service away."""
    fault = {"status": 429, "headers": {"Retry-After": "7", **(headers or {})}, **inject}
    service.world.faults.add(FaultRule({"upstream": service.pack}, fault, times=times))


def statuses(service: Service) -> list[int | None]:
    return [one.status for one in service.entries]


def of_stripe(service: Service, retries: int) -> Any:
    return stripe.StripeClient(
        TOKEN,
        base_addresses={"api": service.base_url},
        http_client=stripe.RequestsClient(),
        max_network_retries=retries,
    ).v1


def test_stripe_raises_its_rate_limit_and_leaves_it_at_that(serve: Serve) -> None:
    service = serve("stripe")
    limited(service, 1)
    client = of_stripe(service, retries=2)
    with pytest.raises(stripe.RateLimitError) as caught:
        client.customers.list()
    assert (caught.value.http_status, caught.value.error.code, caught.value.headers["Retry-After"]) == (
        429,
        "rate_limit",
        "7",
    )
    assert statuses(service) == [429], "the SDK repeats a 429 only when Stripe asks it to"
    assert client.customers.list().data == []


def test_stripe_repeats_what_the_service_asks_it_to_with_the_same_idempotency_key(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0)
    monkeypatch.setattr("stripe._http_client.HTTPClient.MAX_DELAY", 0)
    service = serve("stripe")
    limited(service, 2, {"Stripe-Should-Retry": "true"})
    assert of_stripe(service, retries=2).customers.create({"name": "Ada"}).name == "Ada"
    assert statuses(service) == [429, 429, 200]
    keys = {one.request["headers"]["Idempotency-Key"] for one in service.entries}
    assert len(keys) == 1
    limited(service, 2, {"Stripe-Should-Retry": "true"})
    with pytest.raises(stripe.RateLimitError):
        of_stripe(service, retries=1).customers.list()
    assert statuses(service)[3:] == [429, 429]


def test_notion_raises_rate_limited_and_waits_as_long_as_its_options_say(serve: Serve) -> None:
    service = serve("notion", seed={"pages": [{"id": PAGE, "title": "Home"}]})
    limited(service, 3)
    with (
        Client(auth=TOKEN, base_url=service.base_url, retry=False) as client,
        pytest.raises(APIResponseError) as caught,
    ):
        client.pages.retrieve(PAGE)
    assert (caught.value.code, caught.value.status) == ("rate_limited", 429)
    patient = RetryOptions(max_retries=2, initial_retry_delay_ms=0, max_retry_delay_ms=0)
    with Client(auth=TOKEN, base_url=service.base_url, retry=patient) as client:
        read: Any = client.pages.retrieve(PAGE)
    assert (read["id"], statuses(service)) == (PAGE, [429, 429, 429, 200])

    async def run() -> Any:
        async with AsyncClient(auth=TOKEN, base_url=service.base_url, retry=patient) as client:
            return await client.pages.retrieve(PAGE)

    limited(service, 1)
    assert asyncio.run(run())["id"] == PAGE
    assert statuses(service)[4:] == [429, 200]


def test_slacks_handler_waits_as_long_as_it_is_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(builtin_handlers, "time", SimpleNamespace(sleep=waits.append))
    service = serve("slack", seed=SLACK_SEED)
    limited(service, 2)
    client = WebClient(token=TOKEN, base_url=f"{service.base_url}/api/")
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel="C0ENG", text="one")
    assert caught.value.response.data == {"ok": False, "error": "ratelimited"}
    client.retry_handlers.append(builtin_handlers.RateLimitErrorRetryHandler(max_retry_count=1))
    client.chat_postMessage(channel="C0ENG", text="two")
    assert [one["text"] for one in messages(service.world, "engineering")] == ["two"]
    assert statuses(service) == [429, 429, 200]
    assert [int(wait) for wait in waits] == [7]
    limited(service, 2)
    with pytest.raises(SlackApiError, match="ratelimited"):
        client.chat_postMessage(channel="C0ENG", text="three")


def test_slacks_asynchronous_handler_does_too(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(builtin_async_handlers, "asyncio", SimpleNamespace(sleep=sleep))
    service = serve("slack", seed=SLACK_SEED)
    limited(service, 1)

    async def run() -> Any:
        client = AsyncWebClient(token=TOKEN, base_url=f"{service.base_url}/api/")
        client.retry_handlers.append(builtin_async_handlers.AsyncRateLimitErrorRetryHandler(max_retry_count=1))
        return await client.auth_test()

    assert asyncio.run(run())["ok"] is True
    assert ([int(wait) for wait in waits], statuses(service)) == ([7], [429, 200])


def of_github(service: Service, retry: Any) -> Github:
    calm: Any = {"seconds_between_requests": None, "seconds_between_writes": None}
    return Github(base_url=service.base_url, auth=Auth.Token(TOKEN), retry=retry, **calm)


@pytest.mark.parametrize(("status", "raised"), [(403, RateLimitExceededException), (429, GithubException)])
def test_pygithub_raises_that_the_limit_is_exceeded_and_tries_again(
    serve: Serve, status: int, raised: type[GithubException]
) -> None:
    """PyGithub has its exception for limits for 403 only; the service sends either."""
    service = serve("github", seed={"user": "ada"})
    limited(service, 1, status=status)
    with of_github(service, None) as github, pytest.raises(raised) as caught:
        github.get_user("ada")
    assert type(caught.value) is raised
    assert (caught.value.status, caught.value.headers["retry-after"]) == (status, "7")
    assert caught.value.data["message"].startswith("You have exceeded a secondary rate limit")
    limited(service, 2, status=status)
    patient = GithubRetry(total=2, status_forcelist=[429], backoff_factor=0, respect_retry_after_header=False)
    with of_github(service, patient) as github:
        assert github.get_user("ada").login == "ada"
    assert statuses(service) == [status, status, status, 200]


def test_githubs_primary_limit_is_worded_by_the_fault(serve: Serve) -> None:
    service = serve("github", seed={"user": "ada"})
    body = {"message": "API rate limit exceeded for user ID 1.", "documentation_url": "https://docs.github.com/rest"}
    headers = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767229200"}
    limited(service, 1, headers, status=403, json=body)
    with of_github(service, None) as github, pytest.raises(RateLimitExceededException) as caught:
        github.get_user("ada")
    assert caught.value.data == body
    assert caught.value.headers["x-ratelimit-remaining"] == "0"
