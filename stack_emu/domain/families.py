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
        detector_config,
        dropoffs,
        enrollment,
        evidence_packs,
        governance,
        grants,
        intents,
        jwks,
        mission_records,
        mission_start,
        missions,
        operator_reviews,
        partner_connect,
        partner_tenants,
        passports,
        pii,
        proxy,
        proxy_operations,
        reviews,
        revocation,
        scan,
        security_events,
        services,
        skill_access,
        skill_invocations,
        skill_requests,
        skill_serving,
        skills,
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
            security_events,
            detector_config,
            pii,
            scan,
            proxy,
            proxy_operations,
            skills,
            skill_access,
            skill_invocations,
            skill_serving,
            skill_requests,
            audit,
            operator_reviews,
            evidence_packs,
            partner_tenants,
            partner_connect,
            dropoffs,
            intents,
            jwks,
        )
    )
