"""Which upstream answers for a host name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stack_emu.upstreams.errors import UpstreamSettingsError


class HostTable:
    """Host names and ``*.suffix`` patterns, each belonging to one upstream.

    Args:
        hosts: upstream name to its host names, in any case.

    Raises:
        UpstreamSettingsError: when two upstreams claim the same host.
    """

    def __init__(self, hosts: Mapping[str, Iterable[str]]) -> None:
        self._owners: dict[str, str] = {}
        for upstream, names in hosts.items():
            self.add(upstream, names)

    def add(self, upstream: str, names: Iterable[str]) -> None:
        """Give an upstream more host names.

        Raises:
            UpstreamSettingsError: when another upstream has one of them.
        """
        for name in names:
            key = name.lower().rstrip(".")
            owner = self._owners.setdefault(key, upstream)
            if owner != upstream:
                raise UpstreamSettingsError(
                    f"upstreams {owner} and {upstream} both claim {key}; leave it to one of them."
                )

    def owner(self, host: str) -> str | None:
        """The upstream that answers for a host name (any case, without port), or None.

        An exact name wins over a pattern and a longer pattern over a shorter one; ``*.slack.com`` covers any depth
        below ``slack.com`` but not ``slack.com`` itself.
        """
        name = host.lower().rstrip(".")
        found = self._owners.get(name)
        while found is None and "." in name:
            name = name.partition(".")[2]
            found = self._owners.get(f"*.{name}")
        return found

    def names(self) -> list[str]:
        """Every host name and pattern."""
        return sorted(self._owners)
