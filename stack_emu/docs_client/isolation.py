"""Seeing from a command line that its Python would not read PYTHONPATH or not run ``sitecustomize``."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import PurePath

_PYTHON = re.compile(r"(python|pypy)w?(\d+(\.\d+)?t?)?(\.exe)?")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_RUNNERS = frozenset(
    {"uv", "poetry", "pipenv", "pdm", "hatch", "rye", "pixi", "conda", "nice", "nohup", "setsid", "stdbuf", "time"}
    | {"timeout", "exec", "coverage", "strace", "ltrace"}
)
_ISOLATES = {
    "I": "makes it ignore PYTHONPATH",
    "E": "makes it ignore PYTHONPATH",
    "S": "makes it skip sitecustomize",
}
_TAKES_VALUE = "WX"
_ENDS_OPTIONS = "cm"
_LONGEST_SHEBANG = 512
_DEEPEST = 4


def why_not(cmd: list[str], search_path: str | None = None) -> str | None:
    """Say why ``sitecustomize`` would not run in a command's Python, or None when nothing is in its way.

    Sees Python itself, ``env``, shells with ``-c``, common runners (``uv run`` and the like) and the first line of a
    script.

    Args:
        cmd: the command and its arguments.
        search_path: where commands are looked for; this process's PATH when left out.
    """
    return next(_reasons(cmd, search_path, 0), None)


def _reasons(words: list[str], search_path: str | None, depth: int) -> Iterator[str]:
    if not words or depth > _DEEPEST:
        return
    name = PurePath(words[0]).name
    if _PYTHON.fullmatch(name):
        yield from _of_python(name, words[1:])
    elif name == "env":
        yield from _of_env(words[1:], search_path, depth)
    elif name in _SHELLS:
        yield from _of_shell(words[1:], search_path, depth)
    elif name in _RUNNERS:
        inner = next((at for at, word in enumerate(words) if at and _PYTHON.fullmatch(PurePath(word).name)), None)
        if inner is not None:
            yield from _reasons(words[inner:], search_path, depth + 1)
    else:
        shebang = _shebang(words[0], search_path)
        if shebang and PurePath(shebang[0]).name not in _SHELLS:
            yield from _reasons([*shebang, words[0]], search_path, depth + 1)


def _of_python(name: str, arguments: list[str]) -> Iterator[str]:
    for flag in _flags(arguments):
        if flag in _ISOLATES:
            yield f"{name} runs with -{flag}, which {_ISOLATES[flag]}; leave -{flag} out"


def _flags(arguments: list[str]) -> Iterator[str]:
    """The single-letter options in front of Python's script, ``-c`` or ``-m``."""
    rest = iter(arguments)
    for word in rest:
        if word == "--check-hash-based-pycs":
            next(rest, None)
        elif word.startswith("--") and word != "--":
            continue
        elif word in ("-", "--") or not word.startswith("-"):
            return
        else:
            for at, letter in enumerate(word[1:], start=2):
                if letter in _ENDS_OPTIONS:
                    return
                if letter in _TAKES_VALUE:
                    if at == len(word):
                        next(rest, None)
                    break
                yield letter


def _of_env(arguments: list[str], search_path: str | None, depth: int) -> Iterator[str]:
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word in ("-", "--ignore-environment") or re.fullmatch(r"-[0v]*i.*", word):
            yield "env starts the command with an empty environment, without PYTHONPATH; leave -i out"
        elif word.startswith("PYTHONPATH=") or word in ("--unset=PYTHONPATH", "-uPYTHONPATH"):
            yield "env sets PYTHONPATH anew; set it for stack-emu instead of inside the command"
        elif found := re.fullmatch(r"-[0v]*S(.*)|--split-string=(.*)", word, re.DOTALL):
            text = found[1] or found[2] or (words.pop(0) if words else "")
            words[:0] = _split(text)
        elif word in ("-u", "--unset", "-C", "--chdir"):
            value = words.pop(0) if words else ""
            if value == "PYTHONPATH" and word in ("-u", "--unset"):
                yield "env removes PYTHONPATH; leave -u PYTHONPATH out"
        elif not word.startswith("-") and "=" not in word:
            yield from _reasons([word, *words], search_path, depth + 1)
            return


def _of_shell(arguments: list[str], search_path: str | None, depth: int) -> Iterator[str]:
    if len(arguments) < 2 or not re.fullmatch(r"-[a-z]*c", arguments[0]):
        return
    words = _split(arguments[1], punctuation=True)
    for at, word in enumerate(words):
        if _PYTHON.fullmatch(PurePath(word).name) or PurePath(word).name == "env":
            yield from _reasons(words[at:], search_path, depth + 1)


def _shebang(command: str, search_path: str | None) -> list[str]:
    path = shutil.which(command, path=search_path)
    if path is None:
        return []
    try:
        with open(path, "rb") as file:
            head = file.read(_LONGEST_SHEBANG)
    except OSError:
        return []
    line = head.partition(b"\n")[0]
    return _split(line[2:].decode(errors="replace")) if line.startswith(b"#!") else []


def _split(text: str, *, punctuation: bool = False) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=punctuation)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return text.split()
