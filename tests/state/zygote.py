"""Starts `stack-emu` in processes of their own, forked from one that has imported everything: a start takes a moment.

Reads one JSON order a line: `{"arguments", "stdout", "stderr", "obeys_modes", "file_limit"}` starts, `{"wait": pid}`
waits. Answers each with a line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any

import stack_emu.state_file.starting
import stack_emu.surfaces.control
import stack_emu.surfaces.host_gateway
import stack_emu.surfaces.model_apis
import stack_emu.surfaces.oauth_pages
import stack_emu.surfaces.rest
import stack_emu.surfaces.wiring  # noqa: F401
from stack_emu.cli.main import main


def obey_modes() -> None:
    """Give up root's right to read and write what the modes of files forbid."""
    over_modes = 0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    for index in range(3):  # effective, permitted, inheritable
        data[index] &= ~over_modes
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")


def start(order: dict[str, Any]) -> dict[str, int]:
    """Fork a process that runs a command; returns its id."""
    pid = os.fork()
    if pid:
        return {"pid": pid}
    os.setsid()
    for number, name in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), number)
    if order.get("file_limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], resource.RLIM_INFINITY))
    if order.get("obeys_modes"):
        obey_modes()
    code: Any = 70
    try:
        code = main(order["arguments"])
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(json.dumps({"status": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])}), flush=True)
    else:
        print(json.dumps(start(asked)), flush=True)
