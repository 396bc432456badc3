"""Worlds as wholes: forked, compared, exported and imported."""
