#!/usr/bin/env python3
"""The command line against a PyTorch program that does the same task, side by side.

    python3 benches/compare/product.py --python PATH                     # PATH is a Python that has PyTorch
    python3 benches/compare/product.py --python PATH --json product.json

Both sides train a VGG19 on the same files in CIFAR-10's format (synthetic ones: only their size matters here), with padding, random crop and
mirror, validate after every epoch, keep the best network and save what is needed to go on. runner's side is `runner run`, the release build, as a
user starts it. In every round each side runs once, so that whatever else the machine does meets both.

Speed is counted from the end of the first epoch to the end of the last: training images over seconds, with augmentation, validation and saving, without
start and loading. Peak memory is that of the whole process, data set included. PyTorch uses channels last, the faster of its formats here.
With `--vectors avx2` both sides are held to AVX2. On a machine that is busy with other things the ratio by processor time says more than the one by
the clock. The JSON names machine, load and commit, and has every round.
"""

import argparse, json, os, pathlib, platform, random, re, statistics, subprocess, sys, tempfile, time

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
WIDTHS, BLOCKS = [64, 128, 256, 512, 512], [2, 2, 4, 4, 4]
CHANNELS = [width for width, count in zip(WIDTHS, BLOCKS) for _ in range(count)]
POOLED = [block < 4 and last for block, count in enumerate(BLOCKS) for last in [False] * (count - 1) + [True]]
NAMES = {"gates": "gate-train", "all": "retrain"}
# A rate at which noise in place of images does not diverge.
RATE = 0.01


def make_data(folder, images):
    draw = random.Random(0)
    folder.mkdir(parents=True)
    for name, count in [*((f"data_batch_{n}.bin", images // 5) for n in range(1, 6)), ("test_batch.bin", 100)]:
        (folder / name).write_bytes(b"".join(bytes([n % 10]) + draw.randbytes(3072) for n in range(count)))


def pipeline(data, epochs, batch):
    training = f'inputs.network = "init"\nepochs = {epochs}\nbatch_size = {batch}\n'
    return (
        f'[data]\nset = "cifar10"\ndir = "{data}"\nvalidation = 0.1\n'
        '[[stage]]\nkind = "init"\narch = "vgg19"\n'
        f'[[stage]]\nkind = "gate-train"\n{training}'
        f'[[stage]]\nkind = "retrain"\n{training}optimizer.lr = {RATE}\n'
    )


def processor_time(process):
    """Seconds of processor time that a process has used, of all its threads."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def watched(command, epoch_ended, environment):
    """When epochs ended, in seconds and in seconds of processor time; and the peak memory of the process in MB."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}, cwd=ROOT)
    ends = []
    for line in process.stdout:
        if epoch_ended(line):
            ends.append((time.monotonic(), processor_time(process)))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed")
    return ends, usage.ru_maxrss / 1024


def runner_side(binary, folder, given, work, batch, vectors):
    cache = tempfile.mkdtemp(dir=folder)
    options = ["--cache", cache, "--device", "cpu", "--threads", str(given.threads)]
    file = folder / "p.toml"
    file.write_text(pipeline(folder / "data", given.epochs, batch))
    environment = {"RUNNER_VECTORS": vectors or ""}
    run = [binary, "run", str(file), *options]
    subprocess.run([*run, "--only", "init", "--quiet"], check=True, env={**os.environ, **environment}, cwd=ROOT)
    ended = lambda line: json.loads(line)["event"] == "epoch-finished"
    return watched([*run, "--only", NAMES[work], "--json"], ended, environment)


def torch_side(folder, given, work, batch, vectors):
    case = {
        "channels": CHANNELS, "pooled": POOLED, "work": work, "batch": batch, "epochs": given.epochs, "threads": given.threads,
        "layout": "channels_last", "data": str(folder / "data"), "lr": RATE, "checkpoint": str(folder / "checkpoint.pt"),
    }
    environment = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"} if vectors == "avx2" else {}
    command = [given.python, str(HERE / "torch_task.py"), json.dumps(case)]
    return watched(command, lambda line: line.startswith("epoch"), environment)


def machine():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return {"cpu": platform.processor(), "flags": []}
    field = lambda name: next(iter(re.findall(rf"^{name}\s*: (.*)$", text, re.M)), "")
    flags = field("flags").split()
    return {
        "cpu": f"{field('model name')} (family {field('cpu family')}, model {field('model')})",
        "cores": os.cpu_count(),
        "instruction_sets": [flag for flag in ("avx2", "fma", "avx512f", "avx512vl", "amx_tile") if flag in flags],
        "system": f"{platform.system()} {platform.machine()}",
    }


def middle(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    arguments.add_argument("--runner", default=str(ROOT / "target/release/runner"), help="a release build")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--images", type=int, default=5600)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--work", default="gates,all", help="kinds of work (gates, all), separated by commas")
    arguments.add_argument("--batch", default="128", help="batch sizes, separated by commas")
    arguments.add_argument("--vectors", default="", help="instruction sets (avx2; empty for the widest), separated by commas")
    arguments.add_argument("--json", help="where every figure goes")
    given = arguments.parse_args()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    version = subprocess.run([given.python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    found = {"commit": commit, "machine": machine(), "torch": version.stdout.strip(), **vars(given), "cases": []}
    for private in ("json", "python", "runner"):
        del found[private]
    print(f"{found['machine']['cpu']}; {given.threads} threads; PyTorch {found['torch']}; commit {commit[:12]}; {given.rounds} rounds\n")
    print("| instruction set | stage | batch | runner, images/s | PyTorch, images/s | ratio | ratio by processor time | peak memory, MB | share | load |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        make_data(folder / "data", given.images)
        images = (given.epochs - 1) * (given.images - given.images // 10)
        for vectors in given.vectors.split(","):
            for work in given.work.split(","):
                for batch in map(int, given.batch.split(",")):
                    rounds = []
                    for _ in range(given.rounds):
                        load = os.getloadavg()[0]
                        ours, peak = runner_side(given.runner, folder, given, work, batch, vectors)
                        theirs, their_peak = torch_side(folder, given, work, batch, vectors)
                        wall = [images / (ends[-1][0] - ends[0][0]) for ends in (ours, theirs)]
                        spent = [images / (ends[-1][1] - ends[0][1]) for ends in (ours, theirs)]
                        rounds.append(
                            {
                                "runner": wall[0], "torch": wall[1], "per_processor_second": spent,
                                "peaks": [peak, their_peak], "load": load,
                            }
                        )
                    rate = lambda side: f"{statistics.median(r[side] for r in rounds):.0f}"
                    peaks = [statistics.median(r["peaks"][side] for r in rounds) for side in (0, 1)]
                    loads = [r["load"] for r in rounds]
                    found["cases"].append({"vectors": vectors, "work": work, "batch": batch, "rounds": rounds})
                    print(
                        f"| {vectors or 'widest'} | {NAMES[work]} | {batch} | {rate('runner')} | {rate('torch')} "
                        f"| {middle([r['runner'] / r['torch'] for r in rounds])} "
                        f"| {middle([r['per_processor_second'][0] / r['per_processor_second'][1] for r in rounds])} | {peaks[0]:.0f} / {peaks[1]:.0f} "
                        f"| {100 * peaks[0] / peaks[1]:.0f}% | {min(loads):.1f} to {max(loads):.1f} |",
                        flush=True,
                    )
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(found, indent=1) + "\n")


main()
