"""The list of families: every module whose operations and timers this emulator serves."""

from __future__ import annotations

from stack_emu.kernel.operations import Registry


def registry() -> Registry:
    """All operations, collected from the family modules."""
    from stack_emu.domain import (
        agents,
        audit,
        billing,
        checkpoints,
        connections,
        credentials,
        delegation,
        enrollment,
        governance,
        grants,
        jwks,
        llm_gateway,
        llm_usage,
        mission_records,
        mission_start,
        missions,
        passports,
        proxy,
        proxy_operations,
        reviews,
        revocation,
        services,
        usage,
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
            mission_start,
            mission_records,
            passports,
            delegation,
            checkpoints,
            reviews,
            revocation,
            proxy,
            proxy_operations,
            llm_gateway,
            llm_usage,
            usage,
            billing,
            audit,
            jwks,
        )
    )
