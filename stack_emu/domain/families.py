"""The list of families: every module whose operations and timers this emulator serves."""

from __future__ import annotations

from stack_emu.kernel.operations import Registry


def registry() -> Registry:
    """All operations, collected from the family modules."""
    from stack_emu.domain import (
        agents,
        connections,
        credentials,
        enrollment,
        governance,
        grants,
        jwks,
        mission_records,
        missions,
        passports,
        revocation,
        services,
    )

    return Registry(
        (
            agents,
            governance,
            enrollment,
            services,
            connections,
            grants,
            credentials,
            missions,
            mission_records,
            passports,
            revocation,
            jwks,
        )
    )
