"""The process that a test sees in place of a fresh ``python ARGUMENTS``: see :mod:`tests.support.warm`.

It passes on its arguments, folder, environment and open files, waits, and ends as the other one did. Started with
``-I -S``; imports nothing that takes time.
"""

import array
import json
import os
import resource
import signal
import socket
import sys


def open_files() -> list[int]:
    """:return: those of standard input, output and error that are open"""
    found = []
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return found


def main() -> None:
    path, *arguments = sys.argv[1:]
    opened = open_files()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        if min(server.fileno(), 3) < 3:  # it took the place of a closed file, which must stay closed
            server = socket.socket(fileno=os.dup2(server.detach(), 100))
        order = {
            "arguments": arguments,
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "files": opened,
            "largest_file": resource.getrlimit(resource.RLIMIT_FSIZE),
        }
        text = json.dumps(order).encode()
        server.sendmsg(
            [len(text).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))]
        )
        server.sendall(text)
        code = int(server.makefile().readline())
    if code < 0:  # ended by a signal
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
