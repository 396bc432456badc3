"""What is looked at right after a step of the tour: a call to a second operation whose answer shows what the first did.

Found by a step's name. ``code`` is the refusal that shows it, where something is gone.
"""

from __future__ import annotations

from tests.guarantees.step import Step, fixed, of
from tests.guarantees.tours.authority import BY_BINDING, BY_PRINCIPAL, BY_PROOF, BY_RECEIVER, first, read

_TOURIST = of("tourist", agent_id="id")
_THEIRS = fixed(agent_id="agt_tour")

LOOKS: dict[str, tuple[Step, ...]] = {
    "agents.update": (Step("agents.get", _THEIRS),),
    "agents.enroll": (Step("agents.get", _TOURIST),),
    "agents.unblock": (Step("agents.get", _THEIRS),),
    "agents.delete": (Step("agents.get", _TOURIST, code="NOT_FOUND"),),
    "services.grant": (Step("agents.permissions", _TOURIST),),
    "services.verify": (Step("services.list", fixed()),),
    "services.revoke_agent": (Step("agents.permissions", _THEIRS),),
    "services.disconnect": (Step("services.list", fixed()),),
    "opened": (Step("missions.get", of("opened", mission_id="mission_id")),),
    "missions.revoke": (Step("missions.get", of("started", mission_id="mission_id")),),
    "issued": (Step("passports.verify", of("issued", token="token")),),
    "delegated": (Step("missions.get", fixed(mission_id="ms_tour")),),
    "pii_config.update": (Step("pii_config.get", fixed()),),
    "pii_config.reset": (Step("pii_config.get", fixed()),),
    "detector_config.upsert": (Step("detector_config.list", fixed()),),
    "detector_config.reset": (Step("detector_config.get", fixed(detector_key="scope_drift"), code="NOT_FOUND"),),
    "dropoffs.collect": (Step("dropoffs.get", of("drop-off", dropoff_id="id")),),
    "dropoffs.expire": (Step("dropoffs.get", of("doomed", dropoff_id="id")),),
    "intents.approve": (Step("intents.get", of("submitted", approval_id="approval_id")),),
    "requirement": (Step("identity.get_service_requirements", fixed(service_id="github")),),
    "identity.delete_service_requirement": (Step("identity.get_service_requirements", fixed(service_id="github")),),
    "identity.replace_service_requirement": (
        Step("identity.get_service_requirements", fixed(service_id="scon_slack")),
    ),
    "requirement removed": (Step("identity.get_service_requirements", fixed(service_id="scon_slack")),),
    "rotated": (Step("delivery_methods.test", of("hook", destination_id="id"), code="CONFLICT"),),
    "delivery_methods.delete": (Step("delivery_methods.list", fixed()),),
    "notifications.delete": (Step("notifications.list", fixed()),),
    "unchanged channel": (Step("notifications.list", fixed()),),
    "inbound_webhooks.revoke": (Step("inbound_webhooks.get", of("inbound", webhook_id="id")),),
    "tenant passport": (Step("passports.verify", of("tenant passport", token="token")),),
    "partner_tenants.revoke": (Step("partner_tenants.get", of("tenant", tenant_id="operator_id")),),
    "partner_connect.revoke_connection": (Step("partner_connect.get_connection", of("customer", grant_id="grant_id")),),
    "partner_connect.consent": (Step("partner_connect.list_grants", fixed()),),
    "partner_connect.withdraw": (Step("partner_connect.list_grants", fixed()),),
    "team.update": (Step("team.list", fixed()),),
    "team.revoke": (Step("team.list", fixed()),),
    "authority.verify_receiver": (Step("authority.get_receiver", read(*BY_RECEIVER)),),
    "authority.delegate_binding": (Step("authority.list_bindings", fixed()),),
    "authority.erase_presentation": (
        Step("authority.get_presentation", first("presentation_id", "presentations", "presentations")),
    ),
    "authority.erase_binding": (Step("authority.get_binding", read(*BY_BINDING)),),
    "authority.revoke_receiver_key": (Step("authority.get_receiver", read(*BY_RECEIVER)),),
    "authority.erase_proof": (Step("authority.get_proof", read(*BY_PROOF)),),
    "authority.archive_principal": (Step("authority.get_principal", read(*BY_PRINCIPAL)),),
    "authority.erase_principal": (Step("authority.get_principal", read(*BY_PRINCIPAL)),),
}
