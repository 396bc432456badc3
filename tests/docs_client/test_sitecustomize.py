"""The folder that ``exec --docs-client`` puts first on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack_emu.docs_client.launch import FOLDER, prepare
from tests.docs_client.conftest import Run

HAS_IT = "import getstack; print(hasattr(getstack, 'StackClient'))"


def test_getstack_is_not_imported_until_the_program_does(run_python: Run) -> None:
    done = run_python("import sys; print([n for n in sys.modules if n.partition('.')[0] in ('getstack', 'stack_emu')])")
    assert done.stdout == "[]\n"


def test_the_program_sees_the_path_and_the_loader_it_would_see_without_it(run_python: Run) -> None:
    done = run_python(
        "import sys, getstack\n"
        f"print({str(FOLDER)!r} in sys.path, type(getstack.__loader__).__name__, getstack.__spec__.loader is "
        "getstack.__loader__)"
    )
    assert done.stdout == "False SourceFileLoader True\n", done.stderr


def test_a_reloaded_getstack_is_shaped_again(run_python: Run) -> None:
    done = run_python(
        "import importlib, getstack\nimportlib.reload(getstack)\n"
        "print(issubclass(getstack.StackClient, getstack.Stack))"
    )
    assert done.stdout == "True\n", done.stderr


def test_an_existing_sitecustomize_still_runs(run_python: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("import builtins; builtins.theirs = __file__\nNAME = 'theirs'\n")
    program = (
        f"import sitecustomize; print(theirs == {str(theirs / 'sitecustomize.py')!r}, sitecustomize.NAME)\n{HAS_IT}"
    )
    done = run_python(program, env={"PYTHONPATH": str(theirs)})
    assert done.stdout == "True theirs\nTrue\n", done.stderr
    assert done.stderr == ""


def test_an_existing_sitecustomize_that_chains_itself_ends(run_python: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text(
        "import os, sys\n"
        "sys.path.remove(os.path.dirname(__file__))\n"
        "del sys.modules['sitecustomize']\n"
        f"sys.path.insert(0, {str(FOLDER)!r})\n"
        "import sitecustomize\n"
    )
    done = run_python(
        f"{HAS_IT}\nimport sys; print(sum(type(f).__name__ == '_Finder' for f in sys.meta_path))",
        env={"PYTHONPATH": str(theirs)},
    )
    assert done.stdout == "True\n1\n", done.stderr


def test_what_an_existing_sitecustomize_raises_is_shown_as_ever(run_python: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("raise LookupError('their mistake')")
    done = run_python(HAS_IT, env={"PYTHONPATH": str(theirs)})
    assert "LookupError: their mistake" in done.stderr
    assert done.stdout == "True\n"


def test_children_of_the_program_get_it_too(run_python: Run) -> None:
    done = run_python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HAS_IT!r}], check=True)")
    assert done.stdout == "True\n", done.stderr


def test_it_works_in_an_interpreter_without_stack_emu(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    installed = Path(next(entry for entry in sys.path if entry.endswith("site-packages")))
    for entry in installed.iterdir():
        if "stack_emu" not in entry.name and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)}
    program = (
        "import importlib.util, warnings, getstack\n"
        "warnings.simplefilter('error')\n"
        "print(importlib.util.find_spec('stack_emu'))\n"
        "try: getstack.StackClient(api_key='x')\n"
        "except UserWarning as warning: print(type(warning).__name__)\n"
    )
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    command = [str(base), "-c", program]
    prepare(command, environment)
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "None\nDocsClientWarning\n", done.stderr


def test_a_getstack_without_a_client_is_imported_all_the_same(run_python: Run, tmp_path: Path) -> None:
    package = tmp_path / "other" / "getstack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("ANSWER = 42")
    done = run_python("import getstack; print(getstack.ANSWER)", env={"PYTHONPATH": str(package.parent)})
    assert done.stdout == "42\n"
    assert "stack-emu: --docs-client could not shape this getstack" in done.stderr


@pytest.mark.parametrize("inherited", [None, "", "/a:/b"])
def test_the_folder_stands_first_and_what_was_there_stays(inherited: str | None) -> None:
    environment = {} if inherited is None else {"PYTHONPATH": inherited}
    prepare(["true"], environment)
    assert environment["PYTHONPATH"] == os.pathsep.join([str(FOLDER), *([inherited] if inherited else [])])


def test_the_folder_holds_one_module() -> None:
    assert [entry.name for entry in FOLDER.iterdir() if entry.name != "__pycache__"] == ["sitecustomize.py"]
