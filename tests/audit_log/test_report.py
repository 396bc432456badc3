"""The report as a page in a real browser, and as Markdown: what a person sees of a log, and what hostile names do not do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import getstack
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from stack_emu.audit_log.canonical_file import read_canonical
from stack_emu.audit_log.report import SHOWN_ROWS, report
from stack_emu.audit_log.report_markdown import code, report_markdown
from stack_emu.audit_log.report_page import report_page
from stack_emu.audit_log.verification import read, verify
from stack_emu.cli.main import main
from stack_emu.client import WorldClient
from tests.audit_log.logs import GOLDENS, ROOT, raw_bytes
from tests.conftest import KEY, Served

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH; .ci/run installs one")
REVOCATION = next(path for path in GOLDENS if path.parent.name == "revocation")
HOSTILE = [
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "'\"><svg onload=document.title='pwned'>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:document.title='pwned'",
    "\u202egnp.exe",
    "`|` [a](javascript:alert(1)) @everyone\n# heading",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--no-proxy-server"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=options)
        yield opened
        opened.close()


class Shown:
    """A page that was opened, with what it asked for and complained of."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.goto(file.as_uri())

    @property
    def rows(self) -> int:
        return self.page.locator(".row:visible").count()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Shown]]:
    """Write a report with the command line and open it: ``show(log, ...) -> Shown``."""
    pages: list[Shown] = []

    def open_report(*arguments: Path | str, **options: Any) -> Shown:
        target = tmp_path / "report.html"
        assert main(["audit", "report", *map(str, arguments), "--html", "--out", str(target)]) == 0
        pages.append(Shown(browser.new_page(**options), target))
        return pages[-1]

    yield open_report
    for shown in pages:
        assert shown.complaints == []
        assert len(shown.requests) == 1
        shown.page.close()


@in_browser
def test_a_person_sees_lanes_filters_them_and_reads_why_a_call_was_refused(show: Callable[..., Shown]) -> None:
    shown = show(REVOCATION)
    page = shown.page
    log = read_canonical(REVOCATION.read_bytes())
    expect(page.locator(".verdict.holds")).to_contain_text(str(log.head["head"]))
    assert page.locator("tr.lane").count() == len(log.head["lanes"])
    assert shown.rows == len(log.rows)
    expect(page.locator("#shown")).to_have_text(f"{len(log.rows)} of {len(log.rows)} rows")

    blocked = [row for row in log.rows if row["outcome"] == "blocked"]
    page.get_by_label("Outcome").select_option("blocked")
    assert shown.rows == len(blocked)
    assert page.locator("tr.lane:visible").count() == len({row["lane"] for row in blocked})
    page.locator("#by-agent").select_option("agent_watch_bot")
    assert shown.rows == len([row for row in blocked if row["agent"] == "agent_watch_bot"])
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#shown")).to_have_text(f"{len(log.rows)} of {len(log.rows)} rows")
    page.get_by_label("Action").select_option("passport.revoke_cascade")
    assert shown.rows == len([row for row in log.rows if row["action"] == "passport.revoke_cascade"])
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("searchbox").fill("PASSPORT_revoked watch")
    assert shown.rows == len([row for row in blocked if row["agent"] == "agent_watch_bot"])
    page.get_by_role("searchbox").press("Enter")  # nothing is sent anywhere

    row = page.locator(".row:visible").first
    assert not row.locator(".card").is_visible()
    row.locator("summary").click()
    expect(row.locator(".explained")).to_contain_text("The passport was revoked")
    fields = dict(zip(row.locator("dt").all_inner_texts(), row.locator("dd").all_inner_texts(), strict=True))
    line = log.rows[int(fields["line"]) - 1]
    assert {name: fields[name] for name in ("hash", "prev", "lane", "code", "agent")} == {
        name: line[name] for name in ("hash", "prev", "lane", "code", "agent")
    }
    assert page.locator(".act.cascade").count() > 0
    assert "refused" in row.locator(".ended").inner_text()  # said in words, not by colour alone


@in_browser
def test_what_was_issued_stands_to_the_right_of_what_issued_it(show: Callable[..., Shown]) -> None:
    shown = show(ROOT / "scenarios" / "delegation" / "audit.jsonl")
    left: dict[str, float] = {}
    for row in shown.page.locator(".row").all():
        box, lane = row.bounding_box(), row.locator("xpath=ancestor::tr").locator("th bdi").first
        assert box is not None
        label = str(lane.get_attribute("title"))
        left[label] = min(left.get(label, box["x"]), box["x"])
        if str(row.get_attribute("data-action")).startswith("passport.revoke"):
            left["revoked"] = box["x"]
        if row.get_attribute("data-action") == "passport.delegate" and row.get_attribute("data-outcome") == "success":
            left["child of " + label] = box["x"]
    rows = read_canonical((ROOT / "scenarios" / "delegation" / "audit.jsonl").read_bytes()).rows
    delegated = [row for row in rows if row["action"] == "passport.delegate" and row["outcome"] == "success"]
    issued = [(row["lane"], row["subject"]) for row in delegated]
    assert issued
    for lane, passport in issued:
        child = next(label for label in left if label.endswith(f"/passport:{passport}"))
        assert left[child] > left["child of " + lane]
    [ended] = {row["passport"] for row in rows if row["action"] == "passport.revoke"}
    lane = next(label for label in left if label.endswith(f"/passport:{ended}"))
    assert left["revoked"] > left[lane]


@in_browser
def test_the_page_follows_the_reader_s_colours(show: Callable[..., Shown]) -> None:
    colours = {}
    for scheme in ("light", "dark"):
        page = show(REVOCATION, color_scheme=scheme).page
        colours[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colours == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}


@in_browser
@pytest.mark.parametrize("form", ["canonical", "json", "csv"])
def test_hostile_names_are_text_and_nothing_else(
    show: Callable[..., Shown], serve: Callable[..., Served], tmp_path: Path, form: str
) -> None:
    served = serve()
    with getstack.Stack(base_url=served.base_url, api_key=KEY) as stack:
        agent = stack.agents.register("scout")
        for name in HOSTILE:
            stack.missions.open(name, agent_id=agent.id)
    log = tmp_path / "hostile <b>&.log"
    assert main(["audit", "export", "--url", served.base_url, "--format", form, "--out", str(log)]) == 0
    shown = show(log, log)
    page = shown.page
    assert page.title() == f"Audit report: {log}"
    assert page.locator("img, svg, iframe, object, b:has-text('pwned')").count() == 0
    assert page.locator("script").count() == 1
    page.get_by_role("searchbox").fill(HOSTILE[0].lower())
    assert shown.rows == 2
    page.locator(".row:visible summary").first.click()
    if form != "csv":
        assert HOSTILE[0] in page.locator(".row:visible dd").all_inner_texts()
    assert page.title() == f"Audit report: {log}"


@in_browser
def test_two_logs_are_compared_and_a_broken_one_says_where(show: Callable[..., Shown], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    assert main(["audit", "tamper", str(REVOCATION), "--line", "20", "--out", str(broken)]) == 0
    page = show(REVOCATION, broken).page
    expect(page.locator(".verdict.holds")).to_have_count(1)
    expect(page.locator(".verdict.broken")).to_contain_text("line 20, lane ")
    expect(page.locator(".verdict.broken")).to_contain_text("edited after it was hashed")
    expect(page.locator(".difference")).to_have_count(1)
    expect(page.locator(".difference")).to_contain_text("where A has success")


class Handlers(HTMLParser):
    """Collects what could run or load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("img", "link", "iframe", "object", "embed", "base"):
            self.found.append(tag)
        self.found += [
            name for name, _ in attributes if name.startswith("on") or name in ("src", "href", "style", "action")
        ]


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.parent.name)
def test_a_page_holds_every_row_and_loads_nothing(golden: Path) -> None:
    log = read(golden.read_bytes())
    text = report_page([report("log", log, verify(log))])
    assert text.count('<details class="row ') == verify(log).rows
    parser = Handlers()
    parser.feed(text)
    assert parser.found == []
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "unsafe" not in text
    assert text == report_page([report("log", log, verify(log))])


def test_a_long_log_says_what_it_leaves_out() -> None:
    row = json.loads(REVOCATION.read_bytes().splitlines()[0])
    lines = [json.dumps({**row, "act": number, "n": number}).encode() for number in range(SHOWN_ROWS + 5)]
    log = read(b"\n".join(lines))
    made = report("long", log, verify(log))
    assert (made.left_out, dict(made.counts)["rows"]) == (5, SHOWN_ROWS + 5)
    assert f"The first {SHOWN_ROWS} rows are shown; 5 more are counted only" in report_page([made])


def test_broken_rows_are_shown_as_they_are() -> None:
    odd = b'{"lane":[1],"act":"x","action":7,"outcome":null,"passport":{"a":1},"prev":"","at_ms":"soon"}\nnot JSON\n'
    log = read(odd)
    text = report_page([report("odd", log, verify(log))])
    assert "The chain is broken" in text
    assert report_markdown([report("odd", log, verify(log))]).count("`7`") == 2


# --- Markdown -------------------------------------------------------------------------------------------------------------


def test_a_summary_for_ci_says_the_verdict_the_counts_and_the_refusals(tmp_path: Path, capfd: Any) -> None:
    assert main(["audit", "report", "--markdown", str(REVOCATION)]) == 0
    text = capfd.readouterr().out
    assert "✅ The chain holds: 42 rows, head `" in text
    assert "| `passport.revoke_cascade` | 3 | 3 `success` |" in text
    assert (
        "| 6 | `credential.proxy to slack` | `agent_release_bot` | `refused, PASSPORT_REVOKED` | The passport was"
        in text
    )
    assert main(["audit", "report", "--markdown", str(REVOCATION), "--head", "0" * 64]) == 0
    assert "❌ The chain is broken: `line 43: rehashed: " in capfd.readouterr().out
    raw = tmp_path / "raw.csv"
    raw.write_bytes(raw_bytes("csv"))
    assert main(["audit", "report", "--markdown", str(raw), str(raw)]) == 0
    text = capfd.readouterr().out
    assert "Other columns" not in text
    assert "Nothing: both logs tell the same." in text
    assert "other columns are not hashed." in text


@pytest.mark.parametrize("name", HOSTILE)
def test_foreign_text_stays_in_its_code_span(name: str) -> None:
    span = code(name)
    assert "\n" not in span
    assert "\u202e" not in span
    fence = re.match("`+", span)
    assert fence is not None
    assert span.endswith(fence[0])
    assert fence[0] not in span[len(fence[0]) : -len(fence[0])]
    assert "|" not in span.replace("\\|", "")


def test_the_world_of_a_running_emulator_is_reported_by_its_rows(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    with getstack.Stack(base_url=served.base_url, api_key=KEY) as stack:
        stack.agents.register("scout")
    client = WorldClient.connect(served.base_url)
    log = read(client.audit.canonical())
    client.connection.close()
    assert dict(report("log", log, verify(log)).counts) == {"rows": 1, "acts": 1, "lanes": 1, "agents": 1}
