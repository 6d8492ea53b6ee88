"""What it costs to ask for work of which nothing has changed: runner against DVC and Snakemake.

    cargo build --release
    pip install dvc snakemake
    python benches/peers/no_change.py target/release/runner

Four sizes: a pipeline of six stages, files of 100 and of 1,000 stages (threshold searches of one network), and a sweep of 10,000 points,
for runner alone. The peers call runner's own stages, one command a stage, as somebody would who glues them together; at 1,000 stages
with `--thousand`, for the first run of theirs takes minutes. Everything is run once; then all are asked again in turn, and the
median wall time of each is printed. A TMPDIR in memory (/dev/shm) makes the first runs quick: they wait for the disk otherwise.
"""
import argparse, pathlib, shutil, statistics, subprocess, sys, tempfile, time

DATA = '[data]\nset = "fashion-mnist-mini"\nlimit_train = 200\nlimit_test = 100\n'
SIX = [
    ("init", "", 'arch = "vgg11"\nwidth = 4'),
    ("gate-train", "network", "steps = 4"),
    ("threshold-search", "network", ""),
    ("prune", "channels", ""),
    ("retrain", "network", "epochs = 1"),
    ("eval", "network", ""),
]
POINTS = """
[sweep.matrix]
seed = "1..10"
threshold-search.flops_ratio = "0.3001..0.8000 step 0.0005"
"""
ROUNDS = 5


def stage(name, kind, role, giver, more):
    takes = f'inputs.{role} = "{giver}"\n' if role else ""
    return f'[[stage]]\nname = "{name}"\nkind = "{kind}"\n{takes}{more}\n'


def six():
    """The text of the pipeline, and its stages with what they take."""
    givers = [None] + [kind for kind, _, _ in SIX]
    text = "".join(stage(kind, kind, role, giver, more) for (kind, role, more), giver in zip(SIX, givers))
    return DATA + text, list(zip([kind for kind, _, _ in SIX], givers))


def many(count):
    """The same for one network and many searches in it."""
    names = [f"s{number}" for number in range(count - 1)]
    text = stage("init", "init", "", None, 'arch = "vgg11"\nwidth = 2')
    for number, name in enumerate(names):
        text += stage(name, "threshold-search", "network", "init", f"flops_ratio = {0.3 + 0.6 * number / count:.6f}")
    return DATA + text, [("init", None)] + [(name, "init") for name in names]


def points():
    return DATA + POINTS + many(1)[0][len(DATA):] + stage("threshold-search", "threshold-search", "network", "init", ""), []


def runner(folder, stages):
    return [given.runner, "run", "p.toml", "--quiet"]


def dvc(folder, stages):
    lines = ["stages:"]
    for name, giver in stages:
        lines += [f"  {name}:", f"    cmd: {given.runner} run p.toml --only {name} --quiet && echo {name} > {name}.done"]
        lines += ["    deps:", "      - p.toml"] + ([f"      - {giver}.done"] if giver else [])
        lines += ["    outs:", f"      - {name}.done"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    subprocess.run([given.bin / "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return [str(given.bin / "dvc"), "repro", "-q"]


def snakemake(folder, stages):
    wanted = ", ".join(f"'{name}.done'" for name, _ in stages)
    lines = ["rule all:", f"    input: {wanted}"]
    for name, giver in stages:
        inputs = ["'p.toml'"] + ([f"'{giver}.done'"] if giver else [])
        lines += [f"rule {name.replace('-', '_')}:", f"    input: {', '.join(inputs)}", f"    output: '{name}.done'"]
        lines += [f"    shell: '{given.runner} run p.toml --only {name} --quiet && echo {name} > {name}.done'"]
    (folder / "Snakefile").write_text("\n".join(lines) + "\n")
    return [str(given.bin / "snakemake"), "--cores", "1", "--quiet", "all"]


arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("runner", type=lambda text: str(pathlib.Path(text).resolve()))
arguments.add_argument("--bin", type=pathlib.Path, default=pathlib.Path(sys.executable).parent, help="the folder that has dvc and snakemake")
arguments.add_argument("--thousand", action="store_true", help="the peers at 1,000 stages as well")
given = arguments.parse_args()

work = pathlib.Path(tempfile.mkdtemp(prefix="no-change-"))
peers = [runner, dvc, snakemake]
sizes = [("6 stages", six(), peers), ("100 stages", many(100), peers)]
sizes += [("1,000 stages", many(1000), peers if given.thousand else [runner]), ("10,000 points", points(), [runner])]
calls = {}
for size, (text, stages), tools in sizes:
    for tool in tools:
        folder = work / f"{tool.__name__} {size}"
        folder.mkdir()
        (folder / "p.toml").write_text(text)
        calls[size, tool.__name__] = (folder, tool(folder, stages))
        subprocess.run(calls[size, tool.__name__][1], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        records = len(list((folder / "cache" / "records").rglob("*.json")))
        assert not stages or records == len(stages), f"{tool.__name__} left {records} results"

times = {name: [] for name in calls}
for _ in range(ROUNDS):
    for name, (folder, call) in calls.items():
        began = time.perf_counter()
        subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times[name].append(time.perf_counter() - began)
for (size, tool), all in times.items():
    median, ours = statistics.median(all), statistics.median(times[size, "runner"])
    spread = f"({1000 * min(all):.1f} to {1000 * max(all):.1f})"
    print(f"{size:14} {tool:10} {1000 * median:9.1f} ms {spread:22} {median / ours:7.1f} times ours")
shutil.rmtree(work)
