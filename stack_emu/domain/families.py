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
        delivery_methods,
        enrollment,
        governance,
        grants,
        inbound_webhooks,
        jwks,
        mission_records,
        mission_start,
        missions,
        notification_channels,
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
            passports,
            delegation,
            checkpoints,
            reviews,
            revocation,
            proxy,
            proxy_operations,
            delivery_methods,
            notification_channels,
            inbound_webhooks,
            audit,
            jwks,
        )
    )
