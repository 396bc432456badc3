"""Files that upstreams name: folders of packs, and documents in a pack's seed, relative to the scenario's own file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stack_emu.scenario.positions import Node
from stack_emu.scenario.problems import Location

Refused = list[tuple[Location, str]]


def resolve_paths(root: Node, folder: Path | None) -> Refused:
    """Make the paths in a scenario's upstreams absolute, in place.

    Paths are ``openapi``, ``pack`` when it is one, and every text directly under ``seed`` that begins with ``./`` or
    ``../``. A path that cannot be used becomes null, so that nothing else is said about it.

    Args:
        root: the nodes of one file.
        folder: the folder of that file; None for a text that is in no file.

    Returns:
        Where a path cannot be used, each with a sentence.
    """
    refused: Refused = []
    for location, node in _named(root):
        if folder is None:
            sentence = (
                "only a scenario in a file can name another file; write the scenario to a file, and give its path"
            )
            refused.append((location, sentence))
            node.value = None
        elif Path(node.value).is_absolute():
            example = "./api.yaml" if location[-1] == "openapi" else "./packs/crm"
            refused.append((location, f"{node.value} is absolute; write it relative to this file, such as {example}"))
            node.value = None
        else:
            node.value = str((folder / node.value).resolve())
    return refused


def _named(root: Node) -> Iterator[tuple[Location, Node]]:
    """The texts that may be paths, of the scenario itself and of its overlays."""
    yield from _of_part((), root)
    for name, overlay in _entries(root, "overlays"):
        yield from _of_part(("overlays", name), overlay)


def _of_part(location: Location, part: Node) -> Iterator[tuple[Location, Node]]:
    for name, upstream in _entries(part, "upstreams"):
        pack = upstream.value.get("pack") if isinstance(upstream.value, dict) else None
        if pack is not None and isinstance(pack.value, str) and "/" in pack.value:
            yield (*location, "upstreams", name, "pack"), pack
        document = upstream.value.get("openapi") if isinstance(upstream.value, dict) else None
        if document is not None and isinstance(document.value, str) and document.value:
            yield (*location, "upstreams", name, "openapi"), document
        for key, value in _entries(upstream, "seed"):
            if isinstance(value.value, str) and value.value.startswith(("./", "../")):
                yield (*location, "upstreams", name, "seed", key), value


def _entries(part: Node, key: str) -> list[tuple[str, Node]]:
    inner = part.value.get(key) if isinstance(part.value, dict) else None
    return list(inner.value.items()) if inner is not None and isinstance(inner.value, dict) else []
