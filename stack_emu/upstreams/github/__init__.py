"""A fake of GitHub's REST API."""

from stack_emu.upstreams.github.pack import GitHubPack

PACK = GitHubPack()
