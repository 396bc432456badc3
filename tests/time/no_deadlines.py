"""What is named like a deadline, or reckons with the instant, and has no case of its own: why not."""

from __future__ import annotations

from collections.abc import Mapping

_AGENT_JWT = (
    "an agent signs by its own wall clock, which the world's says nothing about: tests/families/test_enrollment.py"
)
_SHOWN = "how long something took, or when it was: shown, and nothing ends by it"
_QUERY = "an end that a query writes as an instant: tests/families of its family"
_WALL = "real waiting on a socket, which the world's clock cannot shorten"
_CLOCK = "the clock itself: tests/time/test_advance.py, tests/kernel/test_world.py"
_WINDOW = "a fault rule's window, which kernel.faults decides for every surface alike"
_UNIT = "a unit, or the beginning of what is seeded"
_CALENDAR = "what a calendar's events repeat by: tests/upstreams/google_calendar"
_SEARCH = "a search relative to the time stamp of the call: the fake's own tests"
_KEPT = "where a stored or compared world's clock stands: tests/state, tests/worlds"

REASONS: Mapping[str, str] = {
    "domain.authentication.AGENT_JWT_SECONDS": _AGENT_JWT,
    "domain.authentication._LEEWAY_SECONDS": _AGENT_JWT,
    "domain.authentication._check_agent_times": _AGENT_JWT,
    "domain.canonical_audit.Renderer.__call__": _SHOWN,
    "domain.diagnosis._since": _SHOWN,
    "domain.dropoffs.CreateDropoff.on_expire": "what happens at the end, not when",
    "domain.dropoffs.Dropoff.on_expire": "what happens at the end, not when",
    "domain.faults.UPSTREAM_TIMEOUT": "a kind of fault",
    "domain.identity_records.DAY_MS": _UNIT,
    "domain.llm_gateway._settle": _SHOWN,
    "domain.llm_usage.LlmUsageFilter.until": _QUERY,
    "domain.passport_terms.IntentInput.estimated_duration_seconds": "an estimate; nothing is held to it",
    "domain.proxy.TIMEOUT_S": _WALL,
    "domain.proxy._settle": _SHOWN,
    "domain.sealed_skills.Outcome.duration_ms": _SHOWN,
    "domain.skill_records.Invocation.execution_duration_ms": _SHOWN,
    "domain.skill_serving._ended": _SHOWN,
    "domain.state.AgentTokenUse.expires_at": "a JWT that was used is remembered for good",
    "domain.usage.GetUsage.until": _QUERY,
    "domain.windows.LAST_MS": _CLOCK,
    "kernel.acts.Act.now_ms": _CLOCK,
    "kernel.acts.Act.stamp_ms": _CLOCK,
    "kernel.acts.RowDraft.duration_ms": _SHOWN,
    "kernel.audit.ActEntry.now_ms": _CLOCK,
    "kernel.audit.Row.duration_ms": _SHOWN,
    "kernel.faults._stands": "the cases of after_ms and until_ms",
    "kernel.journal.Entry.at_ms": _SHOWN,
    "kernel.latency.LONGEST_MS": _WALL,
    "kernel.world.LAST_MS": _CLOCK,
    "kernel.world.Timer.at_ms": _CLOCK,
    "kernel.world.World.begin_act": _CLOCK,
    "kernel.world.World.fire_due": _CLOCK,
    "kernel.world.World.stops": _CLOCK,
    "kernel.world.WorldImage.clock_moved_ms": _CLOCK,
    "state_file.keeping.StoredWorld.moved_ms": _KEPT,
    "state_file.keeping.StoredWorld.start_ms": _KEPT,
    "state_file.keeping._Kept.moved_ms": _KEPT,
    "surfaces.control._clock": _CLOCK,
    "surfaces.gateway._KEEP_ALIVE_SECONDS": _WALL,
    "surfaces.gateway._STOP_GRACE_SECONDS": _WALL,
    "surfaces.gateway._STOP_LIMIT_SECONDS": _WALL,
    "surfaces.gateway_connection.Owner.idle_timeout": _WALL,
    "surfaces.gateway_tls.CertificateAuthority.create": "clients check certificates by the machine's clock",
    "surfaces.gateway_tls._LIFETIME": "clients check certificates by the machine's clock",
    "surfaces.host_faults.answer_fault": _WINDOW,
    "surfaces.mcp.McpSurface.watch_tools": f"{_WINDOW}: tests/mcp/test_tool_faults.py",
    "surfaces.mcp_calls._BEGIN_SECONDS": _WALL,
    "surfaces.mcp_server.LIST_FRESH_MS": "how long a client may keep a list, by its own clock",
    "surfaces.mcp_server.PROGRESS_SECONDS": _WALL,
    "surfaces.mcp_serving.RETRY_MS": "how long a client waits before it connects again",
    "surfaces.messages_batches._Batch.cancelled_ms": "ends at once: tests/messages/test_batches.py",
    "surfaces.messages_batches._Batch.created_ms": _SHOWN,
    "surfaces.messages_batches._Batch.ended_ms": _SHOWN,
    "surfaces.messages_exchange.Exchange.headers": "always reads as the first request of its minute",
    "surfaces.messages_recording._Kept.at_ms": "the case of _KEPT_MS",
    "surfaces.server._MCP_PAUSE_SECONDS": _WALL,
    "surfaces.server._TIMER_PAUSE_SECONDS": _WALL,
    "surfaces.stream_faults.KEEPALIVE_MS": _WALL,
    "surfaces.stream_faults.StreamFault.first_token_ms": _WALL,
    "surfaces.stream_faults.StreamFault.pace_ms": _WALL,
    "upstreams.engine.TIMEOUT_S": _WALL,
    "upstreams.github.seeding.write_seed": _UNIT,
    "upstreams.gmail.mailbox.Mailbox._log": "an id made of the time stamp",
    "upstreams.gmail.search._DAY_MS": _UNIT,
    "upstreams.gmail.seeding._MINUTE_MS": _UNIT,
    "upstreams.google_calendar.agenda.Agenda._instance": _CALENDAR,
    "upstreams.google_calendar.agenda._DAYS_MS": _CALENDAR,
    "upstreams.google_calendar.listing._Filter.since_ms": _QUERY,
    "upstreams.google_calendar.recurrence.Rule.days": _CALENDAR,
    "upstreams.google_calendar.recurrence.Rule.interval": _CALENDAR,
    "upstreams.google_calendar.recurrence.Rule.month_days": _CALENDAR,
    "upstreams.google_calendar.recurrence.Rule.until_ms": _CALENDAR,
    "upstreams.google_calendar.recurrence._DAYS": _CALENDAR,
    "upstreams.linear.filters._same_kind": _SEARCH,
    "upstreams.linear.filters.cycle_phase": "a cycle's phase: tests/upstreams/linear",
    "upstreams.linear.seeding._BEGINNING_MS": _UNIT,
    "upstreams.notion.filters._Comparison.dated": _SEARCH,
    "upstreams.notion.seeding.write_seed": _UNIT,
    "upstreams.pack_calls.RestCall.now": _SHOWN,
    "upstreams.route_answers.RouteAnswer.delay_ms": _WALL,
    "upstreams.routes._later": "an instant written into a reply: tests/routes",
    "upstreams.slack.records.Message.at_ms": _SHOWN,
    "upstreams.stripe.customers.from_data": "the year a card is valid to: the fake's own tests",
    "upstreams.webhook_post.TIMEOUT_SECONDS": _WALL,
    "verification.Record.at_ms": _SHOWN,
    "webhook_sender._callback_due": "the cases of the timers of callbacks and webhooks",
    "worlds.differences.Compared.moved_ms": _KEPT,
}
