"""Runs and watches in a pseudo terminal, and looks at what is left on it: terminal.py RUNNER."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

QUICKSTART = str(pathlib.Path("pipelines/quickstart.toml").resolve())
ENDLESS = ["--set", "gate-train.epochs=100000", "--set", "init.width=4", "--until", "gate-train", "--cache", "cache"]
BAR = re.compile("[━╸─]")
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command, folder, rows=24, columns=80):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.environ["TERM"] = "xterm-256color"
            os.execv(command[0], command)
        self.resize(rows, columns)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, until, seconds=120):
        """Reads until the condition holds of all that was seen; the end of the command counts as well."""
        end = time.monotonic() + seconds
        while not until(self.seen):
            assert time.monotonic() < end, f"nothing more comes after:\n{self.seen[-2000:]}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 1 << 16).decode(errors="replace")
                except OSError:
                    return

    def interrupt(self):
        os.write(self.fd, b"\x03")

    def code(self):
        self.read(lambda seen: False)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def run_is_interrupted(runner, folder):
    terminal = Terminal([runner, "run", QUICKSTART, *ENDLESS], folder)
    terminal.read(lambda seen: BAR.search(seen) and "img/s" in seen)
    terminal.interrupt()
    assert terminal.code() == 130
    last = max(match.start() for match in BAR.finditer(terminal.seen))
    after = terminal.seen[last:]
    # The line of the bar is cleared before anything else is said.
    assert "\x1b[2K" in after.split("interrupted")[0], repr(after)
    assert "whose state is saved" in plain(after).replace("\r\n", ""), repr(after)
    print("Ctrl-C ends a run, and its bar")


def watching_leaves_the_terminal_as_it_was(runner, folder):
    run = subprocess.Popen([runner, "run", QUICKSTART, *ENDLESS, "--quiet"], cwd=folder, stderr=subprocess.DEVNULL)
    once = [runner, "watch", QUICKSTART, "--cache", "cache", "--once", "--json"]
    view = {"running": []}
    while not (view["running"] and view["running"][0]["progress"]):
        time.sleep(0.2)
        found = subprocess.run(once, cwd=folder, capture_output=True).stdout
        view = json.loads(found) if found else view
    terminal = Terminal([runner, "watch", QUICKSTART, "--cache", "cache"], folder)
    terminal.read(lambda seen: "gate-train" in seen and BAR.search(seen))
    assert terminal.seen.startswith(ENTER), repr(terminal.seen[:80])
    terminal.resize(10, 40)
    time.sleep(0.5)
    before = len(terminal.seen)
    time.sleep(2)
    terminal.read(lambda seen: seen.count("\x1b[H", before) > 8)
    for frame in terminal.seen[before:].split("\x1b[H")[4:-1]:
        lines = [line.strip("\r") for line in plain(frame).split("\n")]
        assert len(lines) <= 10 and max(map(len, lines)) <= 40, lines
    terminal.interrupt()
    assert terminal.code() == 130
    frames, left = terminal.seen.rsplit(LEAVE, 1)
    assert frames.endswith("\x1b[?25h") and "gate-train" in left and ENTER not in left, repr(left)
    # The run has not noticed; and who watches it to its end gets its exit code.
    assert run.poll() is None
    terminal = Terminal([runner, "watch", QUICKSTART, "--cache", "cache"], folder)
    terminal.read(lambda seen: "gate-train" in seen)
    run.send_signal(signal.SIGINT)
    assert run.wait() == 130 and terminal.code() == 130
    assert "interrupted" in plain(terminal.seen.rsplit(LEAVE, 1)[1])
    print("watching fits the terminal, and leaves it as it was")


def main():
    runner = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        run_is_interrupted(runner, folder)
        watching_leaves_the_terminal_as_it_was(runner, folder)


main()
