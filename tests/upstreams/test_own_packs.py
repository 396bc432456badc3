"""Packs in a user's project: found by their folder, checked like ours, loaded anew when they change."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from stack_emu.scenario.loader import ScenarioError, inspect_path, load
from stack_emu.vocabulary import vocabulary
from tests.docs.blocks import ROOT, blocks

from .conftest import Proxied

CRM = next(text for text in blocks(ROOT / "docs" / "upstreams.md", "python") if "class CrmPack" in text)
CONTACT = {"id": "c_1", "name": "Ada"}


@pytest.fixture
def crm(tmp_path: Path) -> Path:
    """A project with the pack that the page shows."""
    folder = tmp_path / "packs" / "crm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(CRM)
    return folder


def scenario(folder: Path, text: str) -> Path:
    file = folder / "scenario.yaml"
    file.write_text(f"stack_emu: 1\nupstreams:\n  crm:\n{text}")
    return file


def sentences(file: Path) -> list[str]:
    return [str(problem).removeprefix(f"{file}:") for problem in inspect_path(file, vocabulary()).problems]


def test_the_pack_of_the_page_works_through_the_proxy(crm: Path, proxied: Callable[..., Proxied]) -> None:
    scopes = ["contacts:read", "contacts:write"]
    upstream = proxied("./packs/crm", scopes=scopes, hosts=["api.crm.test"], seed={"contacts": [CONTACT]})
    assert upstream.ask("GET", "https://api.crm.test/contacts/c_1").body == CONTACT
    added = upstream.ask("POST", "https://api.crm.test/contacts", body={"name": "Bob", "shoe_size": 42})
    assert added.status == 201
    read = upstream.ask("GET", f"https://api.crm.test/contacts/{added.body['id']}")
    assert read.body["name"] == "Bob"
    assert upstream.ask("GET", "https://api.crm.test/contacts/c_2").status == 404
    entries = upstream.journal()
    assert ("shoe_size",) in {tuple(entry["unread"]) for entry in entries}


def test_a_scope_that_a_connection_lacks_is_named(crm: Path, proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("./packs/crm", scopes=["contacts:read"], hosts=["api.crm.test"])
    refused = upstream.ask("POST", "https://api.crm.test/contacts", body={"name": "Bob"})
    assert refused.status == 403
    [entry] = upstream.journal()
    assert entry["hint"] == (
        "contacts.add needs the scope contacts:write: the connection scon_crm has contacts:read; "
        "add it to the scopes of that service in the scenario."
    )
    assert refused.headers["x-stack-emu-hint"] == entry["hint"]


def test_what_a_pack_does_not_serve_is_answered_with_the_nearest(crm: Path, proxied: Callable[..., Proxied]) -> None:
    upstream = proxied("./packs/crm", hosts=["api.crm.test"])
    refused = upstream.ask("DELETE", "https://api.crm.test/contacts/c_1").body["error"]
    assert refused["code"] == "UPSTREAM_UNMATCHED"
    names = [one["name"] for one in refused["details"]["candidates"]]
    assert names == ["contacts.read (GET /contacts/{id})", "contacts.add (POST /contacts)"]
    assert "CRM's fake does not serve DELETE /contacts/c_1" in refused["message"]


def test_a_pack_may_have_modules_of_its_own(crm: Path, tmp_path: Path) -> None:
    (crm / "paging.py").write_text("SIZE = 3\n")
    (crm / "__init__.py").write_text(CRM + "\nfrom .paging import SIZE\nPACK.title = f'CRM {SIZE}'\n")
    file = scenario(tmp_path, "    {pack: ./packs/crm, hosts: [api.crm.test]}\n")
    assert Path(load(file, vocabulary()).upstreams["crm"].pack or "") == crm


def test_a_changed_pack_is_loaded_anew(crm: Path, tmp_path: Path) -> None:
    file = scenario(
        tmp_path, "    {pack: ./packs/crm, hosts: [api.crm.test], seed: {contacts: [{id: a, nickname: b}]}}\n"
    )
    assert len(sentences(file)) == 1
    start = crm / "__init__.py"
    start.write_text(CRM.replace('["id", "name"]', '["id", "name", "nickname"]'))
    os.utime(start, (1, 1))
    assert sentences(file) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "    pack: ./packs/crm\n    seed: {contcts: []}\n",
            "5:11 upstreams.crm.seed seed has no key 'contcts'; did you mean contacts?",
        ),
        (
            "    pack: ./packs/crm\n    seed:\n      contacts:\n      - {id: c_1}\n      - {id: c_2, nme: Bob}\n",
            "8:9 upstreams.crm.seed.contacts[1] seed.contacts[1] has no key 'nme'; did you mean name?",
        ),
        (
            "    pack: ./packs/mcr\n",
            "4:11 upstreams.crm.pack {folder}/packs/mcr is no pack: a pack is a folder with __init__.py in it, which sets PACK",
        ),
        (
            "    pack: /etc/crm\n    hosts: [api.crm.test]\n",
            "4:11 upstreams.crm.pack /etc/crm is absolute; write it relative to this file, such as ./packs/crm",
        ),
        ("    pack: slakc\n", "4:11 upstreams.crm.pack there is no pack slakc; did you mean slack?"),
    ],
)
def test_a_pack_that_cannot_work_is_an_error_of_the_scenario(
    crm: Path, tmp_path: Path, text: str, expected: str
) -> None:
    [sentence] = sentences(scenario(tmp_path, text))
    assert re.sub(r"[ :]+", " ", sentence).startswith(
        re.sub(r"[ :]+", " ", expected.replace("{folder}", str(tmp_path)))
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise RuntimeError('no database')", "cannot be loaded: RuntimeError: no database"),
        ("PAC = None", "sets no PACK; end it with PACK = YourPack()"),
        ("PACK = object()", "has no handle; derive its class from stack_emu.packs.RestPack"),
        ("def broken(:", "cannot be loaded: SyntaxError"),
    ],
)
def test_a_pack_whose_code_fails_says_so(crm: Path, tmp_path: Path, code: str, expected: str) -> None:
    (crm / "__init__.py").write_text(code)
    with pytest.raises(ScenarioError, match=re.escape(expected)):
        load(scenario(tmp_path, "    pack: ./packs/crm\n"), vocabulary())


def test_a_scenario_in_no_file_can_name_no_folder() -> None:
    from stack_emu.scenario.loader import loads

    with pytest.raises(ScenarioError, match="only a scenario in a file can name another file"):
        loads("stack_emu: 1\nupstreams: {crm: {pack: ./packs/crm}}\n")


def test_an_installed_distribution_offers_a_pack(crm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    (site / "acme_packs-1.0.dist-info").mkdir(parents=True)
    (site / "acme_packs-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-packs\nVersion: 1.0\n"
    )
    entry_points = "[stack_emu.packs]\nacme-crm = acme_crm:PACK\nacme-gone = acme_gone:PACK\n"
    (site / "acme_packs-1.0.dist-info" / "entry_points.txt").write_text(entry_points)
    (site / "acme_crm.py").write_text(CRM)
    monkeypatch.syspath_prepend(str(site))
    assert sentences(scenario(tmp_path, "    {pack: acme-crm, hosts: [api.crm.test]}\n")) == []
    [gone] = sentences(scenario(tmp_path, "    {pack: acme-gone, hosts: [api.crm.test]}\n"))
    assert "the pack acme-gone (acme_gone:PACK) cannot be loaded" in gone
    [near] = sentences(scenario(tmp_path, "    {pack: acme-crn, hosts: [api.crm.test]}\n"))
    assert "did you mean acme-crm?" in near
