"""The client of STACK's Anthropic page, over the real ``getstack``.

The page (getstack.run/docs/integrations/anthropic) imports ``StackClient``, issues a passport from an agent, a text and
a time to live, and reads ``passport.id``. No ``getstack`` from 0.1.0 to 4.0.0 has that; this module adds it.

Only the standard library is imported here: under ``stack-emu exec`` this file is loaded by its path into whatever
interpreter the command runs, where ``stack_emu`` need not be installed.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

DEFAULT_MISSION_SECONDS = 900
"""How long a mission lives when nothing is said (SDK 4.0.0, ``passports.mission``)."""

_NAME = "StackClient"
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LACKING = (
    "the published getstack has no StackClient, no passport.id, and issues no passport without a mission; stack-emu "
    "adds them for this run. With the published SDK write: stack = getstack.Stack(api_key=...); started = "
    'stack.missions.start(agent_id=..., mission={"intent_summary": ...}, passport={"ttl_seconds": 900}); the token is '
    'started["passport"]["token"], and stack.passports.revoke(started["passport"]["jti"]) ends it'
)


class DocsClientWarning(UserWarning):
    """Code ran that works only because stack-emu gave ``getstack`` the shape of STACK's page."""


@contextlib.contextmanager
def docs_shape() -> Iterator[None]:
    """Let this process's ``getstack`` have ``StackClient`` until the block ends.

    Code has to import ``StackClient`` inside the block: a module imported before it found none.

    Raises:
        ImportError: ``getstack`` is not installed.
    """
    try:
        import getstack
    except ImportError as problem:
        raise ImportError("the docs client needs the getstack package beside it: pip install getstack") from problem
    undo = apply(getstack)
    try:
        yield
    finally:
        undo()


def apply(module: Any) -> Callable[[], None]:
    """Add ``StackClient`` to a ``getstack`` module, unless it has one.

    Args:
        module: the imported package, of any version from 0.1.0.

    Returns:
        What takes it away again.
    """
    present = vars(module).get(_NAME)
    if isinstance(present, type) and issubclass(present, module.Stack):
        return lambda: None
    added = _client_class(module)
    setattr(module, _NAME, added)

    def undo() -> None:
        if vars(module).get(_NAME) is added:
            delattr(module, _NAME)

    return undo


def _client_class(module: Any) -> type:
    service = _service_class(module)
    told: list[bool] = []

    class StackClient(module.Stack):  # type: ignore[misc]
        """A ``getstack.Stack`` whose ``passports`` behave as STACK's Anthropic page shows.

        Args:
            api_key: as for ``getstack.Stack``; so are all other arguments.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            if not told:
                told.append(True)
                warnings.warn(_LACKING, DocsClientWarning, stacklevel=2)
            super().__init__(*args, **kwargs)
            self.passports = service(self._client)

    StackClient.__module__ = module.__name__
    StackClient.__qualname__ = _NAME
    return StackClient


def _service_class(module: Any) -> type:
    from_sdk: Any = module.passports.PassportService
    with_id = _passport_class(module)

    class PassportService(from_sdk):  # type: ignore[misc]
        """The SDK's passports; ``issue`` opens the mission a passport needs, and passports have an ``id``."""

        def issue(
            self,
            agent_id: str,
            intent: str | None = None,
            services: list[str] | None = None,
            will_delegate: bool = False,
            estimated_duration: str | None = None,
            checkpoint_interval: str | None = None,
            ttl_seconds: int | None = None,
            scopes: list[dict[str, Any]] | None = None,
            authority_binding_ids: list[str] | None = None,
            mission_ids: list[str] | None = None,
        ) -> Any:
            """Open a mission for the agent and issue its passport in one call (SDK 3.0.0 and later: missions.start).

            The mission lives as long as the passport, 15 minutes at least. With ``mission_ids`` the SDK's own method is
            called instead. Arguments and their meaning are those of the SDK's ``issue``.

            Raises:
                ValueError: neither an intent nor a mission was given.
            """
            extras = {"scopes": scopes, "authority_binding_ids": authority_binding_ids, "ttl_seconds": ttl_seconds}
            given = {name: value for name, value in extras.items() if value is not None}
            if mission_ids is not None:
                plain = (intent, services, will_delegate, estimated_duration, checkpoint_interval)
                return with_id(super().issue(agent_id, *plain, mission_ids=mission_ids, **given))
            words: dict[str, Any] = {"summary": intent, "services": services or [], "will_delegate": will_delegate}
            if estimated_duration:
                words["estimated_duration_seconds"] = _seconds(estimated_duration)
            if checkpoint_interval:
                given["checkpoint_interval_seconds"] = _seconds(checkpoint_interval)
            body = {
                "agent_id": agent_id,
                "mission": _mission(words, ttl_seconds),
                "passport": {**given, "intent": words},
            }
            issued = self._client.post("/v1/missions/start", json=body)["passport"]
            fields = {name: issued[name] for name in ("token", "jti", "expires_at")}
            return with_id(module.Passport(**fields, accountability=issued.get("accountability")))

        def refresh(self, *args: Any, **kwargs: Any) -> Any:
            """As the SDK's ``refresh``; the passport has an ``id``."""
            return with_id(super().refresh(*args, **kwargs))

        def delegate(self, *args: Any, **kwargs: Any) -> Any:
            """As the SDK's ``delegate``; the passport has an ``id``."""
            return with_id(super().delegate(*args, **kwargs))

    return PassportService


def _mission(words: dict[str, Any], ttl_seconds: int | None) -> dict[str, Any]:
    if not words["summary"]:
        raise ValueError(
            'StackClient.passports.issue opens a mission, so it needs intent="what the agent is going to do", or '
            "mission_ids with one that is open"
        )
    mission: dict[str, Any] = {"intent_summary": words["summary"], "intent_services": list(words["services"])}
    lifetime = max(ttl_seconds or 0, words.get("estimated_duration_seconds", 0))
    if lifetime > DEFAULT_MISSION_SECONDS:
        mission["expires_in_seconds"] = lifetime
    return mission


def _passport_class(module: Any) -> Callable[[Any], Any]:
    """What turns the SDK's passport into one that also has an ``id``; it stays an instance of the SDK's class."""
    from_sdk: Any = module.Passport

    class Passport(from_sdk):  # type: ignore[misc]
        """The SDK's passport with its ``jti`` under the name STACK's page reads."""

        @property
        def id(self) -> str:
            """The passport's ``jti``."""
            jti: str = self.jti
            return jti

    Passport.__module__ = module.__name__
    Passport.__qualname__ = "Passport"

    def with_id(passport: Any) -> Any:
        passport.__class__ = Passport
        return passport

    return with_id


def _seconds(duration: str) -> int:
    """Seconds of a duration as the SDK writes them: ``90``, ``30s``, ``15m``, ``2h``."""
    found = re.fullmatch(r"(\d+)([smh]?)", duration)
    if found is None:
        raise ValueError(f"{duration!r} is no duration; write 90s, 15m or 2h")
    return int(found[1]) * _SECONDS[found[2]]
