# Both APIs from a shell: curl and nothing else.
set -eu
curl -sS https://api.getstack.run/v1/agents -H "Authorization: Bearer $STACK_API_KEY" -o /dev/null -w '%{http_code}\n'
curl -sS https://api.anthropic.com/v1/messages \
  -H "x-api-key: $ANTHROPIC_API_KEY" \
  -H 'anthropic-version: 2023-06-01' \
  -H 'anthropic-beta: mcp-client-2025-04-04' \
  -H 'content-type: application/json' \
  -d '{"model": "claude-opus-5-5", "max_tokens": 500,
       "messages": [{"role": "user", "content": "The deploy is done: post it."}],
       "mcp_servers": [{"type": "url", "url": "https://mcp.getstack.run/mcp", "name": "stack",
                        "authorization_token": "'"$STACK_API_KEY"'"}]}'
