"""The SDK's mission context under a virtual clock: its own timer checkpoints, and what happens when it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import getstack
import pytest

from tests.families.passport_world import OPERATOR, WORLD


class WorldTimer:
    """Stands for ``threading.Timer`` in the SDK: it goes off when the world's clock has moved that far, not the machine's.

    The function it calls is the SDK's own, and makes the SDK's own request.
    """

    armed: ClassVar[list[WorldTimer]] = []

    def __init__(self, interval: float, function: Callable[[], None]) -> None:
        self.interval, self.function, self.daemon = interval, function, False

    def start(self) -> None:
        WorldTimer.armed.append(self)

    def cancel(self) -> None:
        if self in WorldTimer.armed:
            WorldTimer.armed.remove(self)

    @classmethod
    def pass_time(cls, served: Any, times: int) -> None:
        """Let the armed timer go off so many times, each when its interval has passed in the world."""
        for _ in range(times):
            [timer] = cls.armed
            cls.armed.remove(timer)
            served.advance(int(timer.interval * 1000))
            timer.function()


@pytest.fixture
def stack(served: Any) -> Iterator[getstack.Stack]:
    with getstack.Stack(OPERATOR, base_url=served.base_url) as client:
        yield client


@pytest.fixture
def served(serve: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("getstack.passports.threading.Timer", WorldTimer)
    WorldTimer.armed = []
    return serve(WORLD)


def mission(stack: Any) -> Any:
    return stack.passports.mission("agt_enforced", intent="Keep watch", services=["slack"], checkpoint_interval="2m")


def test_the_missions_own_timer_keeps_an_enforced_passport_alive(stack: getstack.Stack, served: Any) -> None:
    with mission(stack) as watch:
        watch.log("slack", "post_message", "#eng")
        assert [timer.interval for timer in WorldTimer.armed] == [115]
        WorldTimer.pass_time(served, 3)
        watch.log("slack", "post_message", "#eng")
        WorldTimer.pass_time(served, 1)
        assert stack.passports.verify(watch.passport.token)["valid"] is True  # 7 m 40 s on, past every first end
        jti = watch.passport.jti
    report = stack.passports.report(jti)
    assert [(point["actions_count"], point["services_used"]) for point in report.checkpoints] == [
        (1, ["slack"]),
        (0, ["slack"]),
        (0, ["slack"]),
        (1, ["slack"]),
    ]
    assert report.checkout["actions_count"] == 2
    assert WorldTimer.armed == []
    assert stack.passports.verify(watch.passport.token)["valid"] is False


def test_without_its_timer_the_passport_ends_and_the_silence_is_noticed(stack: getstack.Stack, served: Any) -> None:
    with contextlib.suppress(getstack.StackError), mission(stack) as watch:  # leaving checks out what has ended
        WorldTimer.armed.clear()
        served.advance(2 * 120_000)
        assert stack.passports.verify(watch.passport.token)["valid"] is False
        assert [event["signal_type"] for event in stack.security_events.list()["events"]] == ["checkpoint_silence"]
        ended = True
    assert ended
