"""The list of families: every module whose operations and timers this emulator serves."""

from __future__ import annotations

from stack_emu.kernel.operations import Registry


def registry() -> Registry:
    """All operations, collected from the family modules."""
    from stack_emu.domain import (
        agents,
        audit,
        checkpoints,
        connections,
        credentials,
        delegation,
        enrollment,
        evidence_packs,
        fleet_enrollment,
        fleet_members,
        fleets,
        governance,
        grants,
        jwks,
        mission_records,
        mission_start,
        missions,
        operator_reviews,
        partner_connect,
        partner_tenants,
        passports,
        proxy,
        proxy_operations,
        reviews,
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
            mission_start,
            mission_records,
            fleets,
            fleet_members,
            fleet_enrollment,
            passports,
            delegation,
            checkpoints,
            reviews,
            revocation,
            proxy,
            proxy_operations,
            audit,
            operator_reviews,
            evidence_packs,
            partner_tenants,
            partner_connect,
            jwks,
        )
    )
