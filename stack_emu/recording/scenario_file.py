"""The file of a recording: a scenario with one upstream, which answers what was recorded and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stack_emu.recording.exchanges import Recorded
from stack_emu.recording.routes import routes_of
from stack_emu.recording.secrets import Secrets


def scenario_text(exchanges: Sequence[Recorded], host: str, *, known: Sequence[str] = ()) -> str:
    """A scenario as YAML.

    Args:
        exchanges: what was recorded.
        host: the real host name the upstream answers for.
        known: further secrets that must not be in it.

    Raises:
        SecretLeft: when a secret would be in it all the same.
    """
    import yaml

    secrets = Secrets(exchanges)
    for secret in known:
        secrets.learn(secret, "known")
    routes, comments = routes_of(exchanges, secrets)
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", host.split(".")[-2] if "." in host else host)
    lines = [
        f"# Recorded from a service on this machine: {len(exchanges)} exchanges, {len(routes)} routes.",
        "# Secrets are replaced by canaries, values that change by templates. What no route matches is answered 501.",
        "stack_emu: 1",
        "upstreams:",
        f"  {name}:",
        f"    hosts: [{host}]",
        "    routes:" if routes else "    routes: []",
    ]
    for route, comment in zip(routes, comments, strict=True):
        if comment:
            lines.append(f"      # {comment}")
        dumped = yaml.safe_dump([route], sort_keys=False, allow_unicode=True, width=110)
        lines += [f"      {line}" if line else "" for line in dumped.splitlines()]
    text = "\n".join(lines) + "\n"
    secrets.require_none(text)
    return text
