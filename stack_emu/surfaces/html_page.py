"""Pages for people: no scripts, nothing from elsewhere, never in a frame."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from aiohttp import web

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:4rem auto;padding:0 1rem;color:#222}"
    "button{font:inherit;padding:.5rem 1.25rem;margin-right:.5rem}small{color:#666}code{word-break:break-all}"
    "fieldset{border:1px solid #ccc;margin:1rem 0}label{display:block}"
)


def page(status: int, title: str, sentence: str) -> web.Response:
    """A page that says one sentence."""
    return html(status, title, f"<p>{escape(sentence)}</p>", "")


def html(status: int, title: str, body: str, target: str, footer: str = "A page of stack-emu.") -> web.Response:
    """A page.

    Args:
        status: HTTP status.
        title: its heading.
        body: what stands below, as HTML.
        target: where a form on it leads in the end, as a source of a content security policy; empty: nowhere else.
        footer: one small line at the bottom.
    """
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}"
        f"<p><small>{escape(footer)}</small></p></body></html>"
    )
    return web.Response(text=text, status=status, content_type="text/html", headers=headers(target))


def headers(target: str) -> dict[str, str]:
    """The headers of a page whose form leads to ``target``."""
    # Browsers hold redirects after a form to form-action as well, so it names where the form leads.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'self' {target}"
    return {
        "Content-Security-Policy": policy.strip(),
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer: browsers then send Origin: null with the form, which the server refuses.
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def source_of(url: str) -> str:
    """A URL as a source of a content security policy: its origin, or the scheme of an application's own."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme in ("http", "https") else f"{parts.scheme}:"
