"""The fake services behind the proxy: the engine that answers for them, and the bundled stateful packs."""
