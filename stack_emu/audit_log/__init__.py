"""Audit logs as files: reading, verifying, signing, spoiling, comparing and showing them, without an emulator.

``docs/audit-format.md`` specifies the files and what a verifier says of them.
"""
