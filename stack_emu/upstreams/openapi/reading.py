"""From the files of a document to what it declares; every mistake is noted where it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from stack_emu.scenario.problems import suggestion
from stack_emu.upstreams.openapi.document import METHODS, Api, Media, Need, Operation, Parameter, Path, Reply
from stack_emu.upstreams.openapi.files import At, Files
from stack_emu.upstreams.openapi.schemas import Schema, Schemas

_STYLES = {"path": "simple", "query": "form", "header": "simple", "cookie": "form"}
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})
_STATUS = re.compile(r"[1-5]\d\d|[1-5][Xx]{2}|default")
_OTHERS = frozenset({"summary", "description", "servers", "parameters", "$ref"})


def read_api(files: Files) -> Api | None:
    """What a document declares, or None when it is no OpenAPI 3.0 or 3.1 document; mistakes are noted in the files."""
    root = files.root
    version = root.value.get("openapi") if isinstance(root.value, dict) else None
    if not _known_version(files, root, version):
        return None
    old = str(version).startswith("3.0")
    return _Reading(files, Schemas(files, old, "request"), Schemas(files, old, "reply")).api()


def _known_version(files: Files, root: At, version: Any) -> bool:
    swagger = root.get("swagger")
    if swagger is not None:
        sentence = f"this is Swagger {swagger.value}; convert it to OpenAPI 3.0 or 3.1"
        files.error(swagger, sentence)
    elif version is None:
        files.error(root, "this is no OpenAPI document; one begins with openapi: 3.1.0")
    elif not isinstance(version, (str, float)) or re.fullmatch(r"3\.[01](\.\d+)?", str(version)) is None:
        files.error(root.get("openapi") or root, f"OpenAPI {version} is not read; use 3.0 or 3.1")
    else:
        return True
    return False


class _Reading:
    """One document on its way to an API."""

    def __init__(self, files: Files, requests: Schemas, replies: Schemas) -> None:
        self.files = files
        self.requests = requests
        self.replies = replies
        self.seen: dict[tuple[str, str], str] = {}
        self.ids: dict[str, str] = {}

    def api(self) -> Api:
        """The whole of it."""
        root = self.files.root
        info = self._map(root, "info")
        title = info.value.get("title") if info is not None else None
        operations = [one for _, path in self._entries(root, "paths") for one in self._of_path(path, root)]
        if not operations and not self.files.failed:
            self.files.error(root.get("paths") or root, "the document has no operation; add one under paths")
        self._check_schemas()
        if not self.files.failed:
            self.requests.finish()
            self.replies.finish()
        return Api(str(title or "the API"), operations, self.requests, self.replies)

    # --- paths and operations ---------------------------------------------------------------------------------------

    def _of_path(self, path: At, root: At) -> Iterator[Operation]:
        template = path.pointer[-1]
        if template.startswith("x-"):
            return
        if not template.startswith("/"):
            self.files.error(path, f"a path begins with /; write /{template}")
            return
        item = self.files.follow(path)
        shared = self._parameters(item)
        for key, inner in item.items():
            if key in METHODS:
                yield from self._operation(key, Path(template), inner, item, shared, root)
            elif key not in _OTHERS and not key.startswith("x-"):
                self.files.error(inner, f"there is no method {key}; {suggestion(key, METHODS, 'methods')}")

    def _operation(
        self, method: str, path: Path, at: At, item: At, shared: Mapping[tuple[str, str], Parameter], root: At
    ) -> Iterator[Operation]:
        at = self.files.follow(at)
        if not isinstance(at.value, dict):
            self.files.error(at, "an operation is a mapping with responses in it")
            return
        name = at.value.get("operationId")
        name = name if isinstance(name, str) and name else f"{method.upper()} {path.text}"
        self._check_twice(method, path, name, at)
        parameters = {**shared, **self._parameters(at)}
        for captured in path.names:
            parameters.setdefault(("path", captured), Parameter(captured, "path", None, True, "simple", False))
        body, required = self._body(at)
        replies = self._replies(at)
        made = Operation(
            name=name,
            method=method.upper(),
            path=path,
            bases=self._bases(at, item, root),
            summary=_line(at.value.get("summary") or at.value.get("description")),
            parameters=tuple(one for one in parameters.values() if one.where != "path" or one.name in path.names),
            body=body,
            body_required=required,
            replies=replies,
            security=self._security(at, root),
            place=at,
        )
        if made.success is None:
            self.files.error(at.get("responses") or at, "no reply of success is declared; add one such as '200'")
        yield made

    def _check_twice(self, method: str, path: Path, name: str, at: At) -> None:
        known = self.seen.setdefault((method, path.shape), path.text)
        if known != path.text:
            self.files.error(at, f"{method.upper()} {known} matches the same requests; keep one of them")
        title = f"{method.upper()} {path.text}"
        other = self.ids.setdefault(name, title)
        if other != title:
            self.files.error(at.get("operationId") or at, f"{other} has the operationId {name} too; name them apart")

    def _bases(self, at: At, item: At, root: At) -> tuple[str, ...]:
        for owner in (at, item, root):
            servers = owner.get("servers")
            if servers is not None and isinstance(servers.value, list) and servers.value:
                return tuple(dict.fromkeys(_base(one.value) for _, one in servers.items()))
        return ("",)

    # --- parameters -------------------------------------------------------------------------------------------------

    def _parameters(self, owner: At) -> dict[tuple[str, str], Parameter]:
        found: dict[tuple[str, str], Parameter] = {}
        given = owner.get("parameters")
        for _, one in given.items() if given is not None else ():
            at = self.files.follow(one)
            name, where = (at.value.get("name"), at.value.get("in")) if isinstance(at.value, dict) else (None, None)
            if not isinstance(name, str) or not isinstance(where, str) or where not in _STYLES:
                self.files.error(one, f"a parameter has a name, and in: one of {', '.join(_STYLES)}")
            elif where != "header" or name.lower() not in _IGNORED_HEADERS:
                found[(where, name)] = self._parameter(at, name, where)
        return found

    def _parameter(self, at: At, name: str, where: str) -> Parameter:
        content = at.get("content")
        media = next(iter(content.items()), None) if content is not None else None
        schema = at.get("schema") if media is None else media[1].get("schema")
        style = str(at.value.get("style") or _STYLES[where])
        return Parameter(
            name=name,
            where=where,
            schema=self.requests.at(schema) if schema is not None else None,
            required=at.value.get("required") is True or where == "path",
            style=style,
            explode=bool(at.value.get("explode", style == "form")),
            json=media is not None and "json" in media[0],
            empty=at.value.get("allowEmptyValue") is True,
        )

    # --- bodies and replies -----------------------------------------------------------------------------------------

    def _body(self, owner: At) -> tuple[tuple[Media, ...] | None, bool]:
        given = owner.get("requestBody")
        if given is None:
            return None, False
        at = self.files.follow(given)
        media = tuple(self._media(at, self.requests))
        return media, isinstance(at.value, dict) and at.value.get("required") is True

    def _replies(self, owner: At) -> dict[str, Reply]:
        found: dict[str, Reply] = {}
        for status, one in self._entries(owner, "responses"):
            if status.startswith("x-"):
                continue
            if _STATUS.fullmatch(status) is None:
                self.files.error(one, f"{status} is no status; write one such as '200', 4XX or default")
                continue
            at = self.files.follow(one)
            headers = {name: self._header(header) for name, header in self._entries(at, "headers")}
            found[status] = Reply(status, tuple(self._media(at, self.replies)), headers)
        return found

    def _header(self, given: At) -> tuple[Schema | None, bool]:
        at = self.files.follow(given)
        schema = at.get("schema")
        required = isinstance(at.value, dict) and at.value.get("required") is True
        return (self.replies.at(schema) if schema is not None else None), required

    def _media(self, owner: At, schemas: Schemas) -> Iterator[Media]:
        for kind, at in self._entries(owner, "content"):
            schema = at.get("schema")
            plain = kind.partition(";")[0].strip().lower()
            made = schemas.at(schema) if schema is not None else None
            yield Media(plain, made, tuple(self._examples(at)), at)

    def _examples(self, at: At) -> Iterator[Any]:
        if isinstance(at.value, dict) and "example" in at.value:
            yield at.value["example"]
        for _, one in self._entries(at, "examples"):
            found = self.files.follow(one).value
            if isinstance(found, dict) and "value" in found:
                yield found["value"]

    # --- security ---------------------------------------------------------------------------------------------------

    def _security(self, at: At, root: At) -> tuple[tuple[Need, ...], ...] | None:
        given = at.get("security") or root.get("security")
        if given is None or not isinstance(given.value, list):
            return None
        return tuple(
            tuple(need for name, scopes in one.items() for need in self._need(name, scopes, root))
            for _, one in given.items()
        )

    def _need(self, name: str, scopes: At, root: At) -> Iterator[Need]:
        components = root.get("components")
        schemes = components.get("securitySchemes") if components is not None else None
        found = schemes.get(name) if schemes is not None else None
        if found is None:
            known = schemes.value if schemes is not None and isinstance(schemes.value, dict) else {}
            self.files.error(
                scopes, f"there is no security scheme {name}; {suggestion(name, known, 'schemes there are')}"
            )
            return
        value = self.files.follow(found).value
        scheme: Mapping[str, Any] = value if isinstance(value, dict) else {}
        kind = str(scheme.get("type"))
        if kind == "apiKey":
            yield Need(name, kind, str(scheme.get("in", "header")), str(scheme.get("name", "")))
        elif kind == "http":
            yield Need(name, kind, name=str(scheme.get("scheme", "bearer")).lower())
        elif kind in ("oauth2", "openIdConnect"):
            wanted = scopes.value if isinstance(scopes.value, list) else []
            yield Need(name, kind, name="bearer", scopes=tuple(map(str, wanted)))
        elif kind == "mutualTLS":
            yield Need(name, kind)
        else:
            kinds = "apiKey, http, oauth2, openIdConnect and mutualTLS"
            self.files.error(found, f"{kind} is no type of a security scheme; there are {kinds}")

    # --- reading ----------------------------------------------------------------------------------------------------

    def _map(self, owner: At, key: str) -> At | None:
        found = owner.get(key)
        if found is not None and not isinstance(found.value, dict):
            if found.value is not None:
                self.files.error(found, f"{key} is a mapping")
            return None
        return found

    def _entries(self, owner: At, key: str) -> Iterable[tuple[str, At]]:
        found = self._map(owner, key)
        return found.items() if found is not None else ()

    def _check_schemas(self) -> None:
        """Note schemas that are no JSON Schema, each once."""
        from jsonschema import Draft202012Validator

        meta = Draft202012Validator(Draft202012Validator.META_SCHEMA)
        checked: set[tuple[str, tuple[str, ...]]] = set()
        for schemas in (self.requests, self.replies):
            for name, definition in schemas.defs.items():
                place = schemas.places[name]
                if (place.file, place.pointer) in checked:
                    continue
                checked.add((place.file, place.pointer))
                error = next(meta.iter_errors(definition), None)
                if error is None:
                    continue
                at = schemas.places[name]
                for part in error.absolute_path:
                    at = dict(at.items()).get(str(part), at)
                self._note_once(at, f"this is not a JSON Schema: {error.message}")
            for name in schemas.endless():
                at = schemas.places[name]
                self._note_once(
                    at, "the schema leads back to itself before it says anything; let it refer to itself in a field"
                )

    def _note_once(self, at: At, sentence: str) -> None:
        if all((one.path, one.mark.file) != (at.path, at.file) for one in self.files.problems):
            self.files.error(at, sentence)


def _base(server: Any) -> str:
    """The path of a server, with the defaults of its variables."""
    url = str(server.get("url", "/")) if isinstance(server, dict) else "/"
    variables = server.get("variables") if isinstance(server, dict) else None
    for name, variable in (variables or {}).items() if isinstance(variables, dict) else ():
        if isinstance(variable, dict):
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""


def _line(text: Any) -> str:
    """The first sentence of a description, on one line."""
    first = str(text or "").strip().split("\n\n")[0]
    return " ".join(first.split())
