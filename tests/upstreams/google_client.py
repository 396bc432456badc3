"""google-api-python-client, pointed at a fake."""

from __future__ import annotations

from typing import Any

from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from .conftest import TOKEN, Service

AUTH = "https://www.googleapis.com/auth/"


def client(api: str, version: str, service: Service, token: str = TOKEN, path: str = "") -> Any:
    """The real client of one of Google's APIs, through httplib2 to the loopback server; close it."""
    return build(
        api,
        version,
        static_discovery=True,
        client_options={"api_endpoint": service.base_url + path},
        credentials=Credentials(token),
    )


def over_http(request: Any) -> Any:
    """An upload request sent without TLS: the client takes over an endpoint's host for uploads, but not its scheme."""
    request.uri = request.uri.replace("https://", "http://", 1)
    return request


def calendar_client(service: Service, token: str = TOKEN) -> Any:
    """The real client of the Calendar API, whose endpoint has a path; close it."""
    return client("calendar", "v3", service, token, "/calendar/v3/")
