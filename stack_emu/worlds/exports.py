"""A world as one stable JSON document, and back. The document holds no secret: what was one is made anew on import."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from stack_emu.domain.tokens import base64url
from stack_emu.kernel.audit import verify_chain
from stack_emu.kernel.errors import WorldError
from stack_emu.kernel.record_json import RecordCodec, UnknownTable
from stack_emu.kernel.secret_scan import CREDENTIAL
from stack_emu.kernel.store import Store
from stack_emu.kernel.world import ACT, LANE, MINTED, World, WorldImage
from stack_emu.worlds.acts_json import dump_act, load_audit

FORMAT = "stack-emu-world/1"
_SECRET = re.compile(r"<secret:([^<>]+)>")


def scenario_digest(text: str) -> str:
    """What tells one scenario from another, in hex."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def export_world(world: World, image: WorldImage, codec: RecordCodec, scenario: str) -> dict[str, Any]:
    """A picture of a world as JSON data, the same for the same world on every run.

    Args:
        world: the world.
        image: the picture.
        codec: knows its records.
        scenario: its scenario as one text; the document has its digest only.
    """
    tables = {
        kind.TABLE: [
            {"places": places, "record": world.redactor.value(codec.dump(record))}
            for record, places in image.store.placed(kind)
        ]
        for kind in image.store.tables
    }
    return {
        "format": FORMAT,
        "scenario": scenario_digest(scenario),
        "seed": world.seed.hex(),
        "clock": {
            "mode": "virtual" if world.clock.virtual else "real",
            "start_ms": world.clock.start_ms,
            "moved_ms": image.clock_moved_ms,
        },
        "records": {name: rows for name, rows in sorted(tables.items()) if rows},
        "acts": [dump_act(entry) for entry in image.audit.acts],
        "counts": {
            ACT: dict(sorted(image.act_counts.items())),
            LANE: dict(sorted(image.lane_counts.items())),
            MINTED: dict(sorted(image.minted.items())),
        },
    }


def import_world(world: World, document: Mapping[str, Any], codec: RecordCodec, scenario: str) -> list[str]:
    """Bring a fresh world to what a document says.

    Args:
        world: made from the same scenario with the same seed and kind of clock.
        document: what ``export_world`` made.
        codec: knows the world's records.
        scenario: its scenario as one text.

    Returns:
        Names of the secrets that the document could not hold and the scenario does not make; each has a new value.

    Raises:
        WorldError: when the document is no export, does not fit the world, or a hash chain in it does not hold.
    """
    require_export(document)
    if document["scenario"] != scenario_digest(scenario):
        raise WorldError("the export was made from another scenario; name the one it was made from")
    if document["seed"] != world.seed.hex():
        raise WorldError("the export was made with another seed than the world's")
    secrets = _Secrets(world)
    try:
        image = _image(document, codec, secrets)
    except UnknownTable as error:
        raise WorldError(f"the export holds {error.table}, which no pack of the scenario keeps") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorldError(f"the export is damaged: {error}") from None
    for operator_id, rows in image.audit.chains.items():
        broken = verify_chain(rows, world.audit.row_hash)
        if broken is not None:
            raise WorldError(
                f"the audit chain of {operator_id} in the export breaks at row {broken.index + 1} ({broken.entry_id}): "
                f"{broken.problem}"
            )
    world.restore(image)
    world.clock.begin_at(document["clock"]["start_ms"])
    world.clock.return_to(image.clock_moved_ms)
    return sorted(secrets.made)


def require_export(document: Mapping[str, Any]) -> None:
    """Refuse what is no export.

    Raises:
        WorldError: saying what it should be.
    """
    found = document.get("format")
    if found != FORMAT:
        raise WorldError(f"this is no export of a world: its format should be {FORMAT}, not {found!r}")
    missing = [name for name in ("scenario", "seed", "clock", "records", "acts", "counts") if name not in document]
    if missing:
        raise WorldError(f"the export is not whole; it lacks {', '.join(missing)}")


def _image(document: Mapping[str, Any], codec: RecordCodec, secrets: _Secrets) -> WorldImage:
    tables = {
        codec.kind(name): [(codec.load(name, secrets.back(row["record"])), row["places"]) for row in rows]
        for name, rows in document["records"].items()
    }
    counts = document["counts"]
    return WorldImage(
        Store.picture(tables),
        load_audit(document["acts"]),
        dict(counts[ACT]),
        dict(counts[LANE]),
        dict(counts[MINTED]),
        document["clock"]["moved_ms"],
    )


class _Secrets:
    """Puts secrets back where their names stand: the scenario's own, or new ones derived from the world's seed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known = {one.name: one.secret for one in world.redactor.learned}
        self.made: dict[str, str] = {}

    def back(self, value: Any) -> Any:
        if isinstance(value, str):
            return _SECRET.sub(lambda found: self._secret(found[1]), value) if "<secret:" in value else value
        if isinstance(value, list):
            return [self.back(part) for part in value]
        if isinstance(value, dict):
            return {key: self.back(part) for key, part in value.items()}
        return value

    def _secret(self, name: str) -> str:
        known = self._known.get(name) or self.made.get(name)
        if known is None:
            known = self.made[name] = "emu_" + base64url(self._world.key_bytes("imported-secret", name))
            self._world.redactor.add(known, name, CREDENTIAL)
        return known
