"""An emulator whose worlds have one upstream, ``shop``, with the routes of a test, called through STACK's proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from getstack import Stack

from stack_emu.client import WorldClient
from stack_emu.emulator import Emulator

KEY = "sk_live_emu_acme"
OTHER_KEY = "sk_live_emu_other"


@dataclass
class Shop:
    """A world whose upstream ``shop`` answers at ``api.shop.test``."""

    world: WorldClient
    stack: Stack
    closing: ExitStack = field(repr=False)

    def ask(self, method: str, target: str, body: Any = None, **headers: str) -> Any:
        """Proxy a request; ``target`` is a path with its query, or a whole URL."""
        url = target if target.startswith("http") else f"https://api.shop.test{target}"
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.stack.proxy.request("shop", url, method=method, body=body, headers=given or None)

    def other_lane(self) -> Shop:
        """The same world asked with another key, which is a lane of its own."""
        sdk = Stack(api_key=OTHER_KEY, base_url=self.world.base_url)
        self.closing.callback(sdk.close)
        return Shop(self.world, sdk, self.closing)

    def hints(self) -> list[str]:
        """What was said about calls that nothing answered."""
        return [entry["hint"] for entry in self.world.journal if entry["problem"]]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """``shop(routes, state={...})`` makes a world; keyword arguments are keys of the upstream."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator())

        def make(routes: Sequence[Mapping[str, Any]], **upstream: Any) -> Shop:
            hosts = upstream.pop("hosts", ["api.shop.test"])
            scenario = {
                "stack_emu": 1,
                "strict": False,
                "operator": {"id": "op_acme", "keys": [{"key": KEY}, {"key": OTHER_KEY}]},
                "services": [{"id": "scon_shop", "provider": "shop", "upstream": "shop"}],
                "upstreams": {"shop": {"hosts": hosts, "routes": list(routes), **upstream}},
            }
            file = tmp_path / "shop.yaml"
            file.write_text(yaml.safe_dump(scenario))
            world = emulator.world(scenario=file, clock="virtual")
            sdk = Stack(api_key=KEY, base_url=world.base_url)
            stack.callback(sdk.close)
            return Shop(world, sdk, stack)

        yield make
