#!/usr/bin/env python3
"""Training speed of runner against PyTorch's, on the same cores, step by step in turn.

    python3 benches/compare/compare.py                      # makes a throw-away virtual environment with PyTorch
    python3 benches/compare/compare.py --python /usr/bin/python3   # uses one that has PyTorch

Prints the tables of docs/benchmarks.md. Both sides are processes that stay alive; in every round each runs one step, so that what else
happens on the machine meets both. PyTorch runs in both of its memory formats, and the faster one counts.
"""

import argparse, json, pathlib, platform, statistics, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
BLOCKS = {"vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}
PLAIN = [64, 128, 256, 512, 512]
# VGG19 at half of its FLOPs: every width about 0.707 of the full one, and odd.
HALF = [45, 47, 91, 89, 181, 179, 183, 185, 361, 363, 357, 365, 359, 367, 355, 363]


def network(arch, input, channels=None):
    pooled = [block < 4 and last for block, count in enumerate(BLOCKS[arch]) for last in [False] * (count - 1) + [True]]
    plain = [width for count, width in zip(BLOCKS[arch], PLAIN) for _ in range(count)]
    return {"arch": arch, "input": input, "channels": channels or plain, "pooled": pooled}


NETWORKS = {
    "VGG19, 3x32x32": network("vgg19", [3, 32, 32]),
    "VGG19 at half of its FLOPs, 3x32x32": network("vgg19", [3, 32, 32], HALF),
    "VGG16, 1x28x28": network("vgg16", [1, 28, 28]),
}
WORKS = [("gates", 64), ("gates", 128), ("all", 64), ("all", 128), ("eval", 256)]
NAMES = {"gates": "gate-training step", "all": "full training step", "eval": "evaluation"}


class Side:
    """A process that runs one step on request."""

    def __init__(self, command, case):
        self.process = subprocess.Popen(
            [*command, json.dumps(case)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{command[0]} did not start")
        self.times = []

    def step(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))

    def finish(self):
        """Peak memory in MB."""
        self.process.stdin.close()
        peak = int(self.process.stdout.readline()) / 1024
        self.process.wait()
        return peak


def compare(sides, rounds):
    for _ in range(rounds):
        for side in sides.values():
            side.step()
    return {name: side.finish() for name, side in sides.items()}


def rate(side, batch):
    return batch / statistics.median(side.times)


def spread(times):
    """Half of the distance between the quartiles, in percent of the median."""
    low, middle, high = statistics.quantiles(times, n=4)
    return 50 * (high - low) / middle


def torch_python(given, scratch):
    if given:
        return given
    subprocess.run([sys.executable, "-m", "venv", scratch], check=True)
    python = f"{scratch}/bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "torch", "numpy"], check=True)
    return python


def machine():
    model = platform.processor()
    try:
        lines = open("/proc/cpuinfo").read().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {platform.system()} {platform.machine()}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--python", help="a Python that has PyTorch")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--only", default="", help="networks whose name contains this")
    arguments.add_argument("--work", default="", help="kinds of work (gates, all, eval), separated by commas")
    arguments.add_argument("--no-build", action="store_true", help="use the binary that is there")
    arguments.add_argument("--no-layers", action="store_true", help="leave the table of layers out")
    arguments.add_argument("--no-scaling", action="store_true", help="leave the scaling out")
    given = arguments.parse_args()
    if not given.no_build:
        subprocess.run(["cargo", "build", "--release", "--quiet", "--locked", "--example", "ours"], check=True, cwd=ROOT)
    ours = [str(ROOT / "target/release/examples/ours")]
    with tempfile.TemporaryDirectory() as scratch:
        python = torch_python(given.python, scratch)
        theirs = [python, str(HERE / "torch_side.py")]
        version = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
        print(f"{machine()}; {given.threads} threads; PyTorch {version.stdout.strip()}; median of {given.rounds} rounds\n")
        print("| network | work | batch | runner, images/s | PyTorch, images/s | ratio | peak memory, MB |")
        print("|---|---|---|---|---|---|---|")
        works = [(work, batch) for work, batch in WORKS if not given.work or work in given.work.split(",")]
        for name, net in NETWORKS.items():
            if given.only not in name:
                continue
            for work, batch in works:
                case = {**net, "work": work, "batch": batch, "threads": given.threads}
                sides = {"ours": Side(ours, case)}
                for layout in ("channels_last", "contiguous"):
                    sides[layout] = Side(theirs, {**case, "layout": layout})
                peaks = compare(sides, given.rounds)
                best = min(("channels_last", "contiguous"), key=lambda layout: statistics.median(sides[layout].times))
                mine, other = rate(sides["ours"], batch), rate(sides[best], batch)
                print(
                    f"| {name} | {NAMES[work]} | {batch} | {mine:.0f} ±{spread(sides['ours'].times):.0f}% "
                    f"| {other:.0f} ±{spread(sides[best].times):.0f}% ({best}) | **{mine / other:.2f}** "
                    f"| {peaks['ours']:.0f} / {min(peaks['channels_last'], peaks['contiguous']):.0f} |",
                    flush=True,
                )
        if not given.no_scaling:
            print("\n| VGG19, 3x32x32 | batch | 1 thread, images/s | 2 threads, images/s | scaling |\n|---|---|---|---|---|")
            for work, batch in works:
                case = {**NETWORKS["VGG19, 3x32x32"], "work": work, "batch": batch}
                sides = {threads: Side(ours, {**case, "threads": threads}) for threads in (1, 2)}
                compare(sides, given.rounds)
                one, two = rate(sides[1], batch), rate(sides[2], batch)
                print(f"| {NAMES[work]} | {batch} | {one:.0f} | {two:.0f} | {two / one:.2f} |", flush=True)
    if not given.no_layers:
        print()
        subprocess.run([*ours, "layers", str(given.threads)], check=True, cwd=ROOT)
        print()
        subprocess.run([*ours, "loop", str(given.threads)], check=True, cwd=ROOT)


main()
