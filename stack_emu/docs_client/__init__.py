"""The client that STACK's Anthropic page shows and that the published ``getstack`` does not export."""
