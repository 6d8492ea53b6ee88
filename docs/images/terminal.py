"""Draws what a command prints on a terminal as an SVG: the pictures of the README.

    pip install rich pyte
    python docs/images/terminal.py docs/images/quickstart.svg runner run pipelines/quickstart.toml

The command runs for real in a pseudo-terminal; a terminal emulator keeps what stands on the screen at its end.
"""
import itertools, os, pty, re, select, struct, sys, fcntl, termios

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, ROWS = 100, 60
target, command = sys.argv[1], sys.argv[2:]

child, terminal = pty.fork()
if child == 0:
    os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(ROWS))
    os.execvp(command[0], command)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
screen = pyte.Screen(COLUMNS, ROWS)
stream = pyte.ByteStream(screen)
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:  # the command has ended
        break
    if not data:
        break
    stream.feed(data)
os.waitpid(child, 0)

NAMES = {"brown": "yellow", "brightblack": "bright_black"}


def style(cell):
    color = None if cell.fg == "default" else NAMES.get(cell.fg, cell.fg)
    if color and re.fullmatch("[0-9a-f]{6}", color):
        color = "#" + color
    return Style(color=color, bold=cell.bold)


def grouped(runs):
    for _, cells in runs:
        cells = list(cells)
        yield cells[0], cells


lines = [Text.assemble(("$ ", "bold green"), " ".join(command))]
for row in range(ROWS):
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    # Blanks stand alone: some readers of SVG drop them from the ends of a text.
    runs = itertools.groupby(cells, key=lambda cell: (cell.fg, cell.bold, cell.data.isspace()))
    line = Text.assemble(*(("".join(cell.data for cell in run), style(first)) for first, run in grouped(runs)))
    line.rstrip()
    lines.append(line)
while lines and not lines[-1].plain:
    lines.pop()
console = Console(width=COLUMNS, record=True, file=open(os.devnull, "w"), force_terminal=True, color_system="truecolor")
for line in lines:
    console.print(line, no_wrap=True)
# Rich's own frame loads a web font; the picture must stand alone.
frame = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.S)
frame = frame.replace("font-family: Fira Code, monospace", "font-family: ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace")
console.save_svg(target, title="runner", code_format=frame)
