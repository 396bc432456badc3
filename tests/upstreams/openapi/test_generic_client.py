"""A client made from the same document reads every reply into models of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from aiopenapi3 import OpenAPI
from aiopenapi3.errors import HTTPClientError

from tests.upstreams.conftest import TOKEN, Service
from tests.upstreams.openapi.conftest import CLINIC

SERVER = """\
  - url: https://{region}.clinic.test/v1
    variables: {region: {default: eu}}
"""


class Recording(httpx2.Client):
    """A client that carries the credential by itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "headers": {"Authorization": f"Bearer {TOKEN}"}})


def test_a_generic_client_drives_every_operation(serve: Callable[..., Service]) -> None:
    service = serve("openapi", seed={"document": str(CLINIC)})
    text = CLINIC.read_text("utf-8").replace(SERVER, f"  - url: {service.base_url}/v1\n")
    text = text.replace("security:\n  - token: []\n", "", 1)
    api: Any = OpenAPI.loads(f"{service.base_url}/openapi.yaml", text, session_factory=Recording)
    calls = api._
    owner = calls.createOwner(data={"name": "Ada", "email": "ada@x.test"})
    assert (owner.name, owner.plan) == ("Ada", "free")
    assert calls.readOwner(parameters={"ownerId": owner.id}).model_dump() == owner.model_dump()
    calls.replaceOwner(parameters={"ownerId": owner.id}, data={"name": "Ada L."})
    assert [one.name for one in calls.listOwners()] == ["Ada L."]
    pet = calls.createPet(parameters={"ownerId": owner.id}, data={"name": "Rex", "species": "dog"})
    pet = pet[1] if isinstance(pet, tuple) else pet
    assert pet.ownerId == owner.id
    page = calls.listPets(parameters={"ownerId": owner.id, "limit": 1})
    assert ([one.name for one in page.data], page.meta.total, page.meta.has_more) == (["Rex"], 1, False)
    assert calls.readPet(parameters={"petId": str(pet.id)}).species == "dog"
    assert calls.adoptPet(parameters={"petId": str(pet.id)}).id == pet.id
    assert calls.deletePet(parameters={"petId": str(pet.id)}).id == pet.id
    visit = calls.createVisit(data={"visit": {"reason": "Teeth", "at": "2026-03-01T09:00:00Z"}}).visit
    assert calls.readVisit(parameters={"visit_id": visit.id}).visit.reason == "Teeth"
    assert len(calls.listBreeds()) == 2
    assert calls.readBreed(parameters={"code": "manx"}).species == "cat"
    calls.deleteOwner(parameters={"ownerId": owner.id})
    with pytest.raises(HTTPClientError):
        calls.readOwner(parameters={"ownerId": owner.id})
    assert [entry.problem for entry in service.entries if entry.problem] == []
