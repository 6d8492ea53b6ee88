"""What it costs to ask for a six-stage pipeline in which nothing has changed: runner against DVC and Snakemake.

    cargo build --release
    pip install dvc snakemake
    python benches/peers/no_change.py target/release/runner

The peers call runner's own stages, one command a stage, as somebody would who glues them together. Everything is run
once; then all three are asked again in turn, and the median wall time of each is printed, with its share of ours.
"""
import pathlib, shutil, statistics, subprocess, sys, tempfile, time

STAGES = ["init", "gate-train", "threshold-search", "prune", "retrain", "eval"]
PIPELINE = """
[data]
set = "fashion-mnist-mini"
limit_train = 200
limit_test = 100
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
steps = 4
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "retrain"
inputs.network = "prune"
epochs = 1
[[stage]]
kind = "eval"
inputs.network = "retrain"
"""
ROUNDS = 7

runner = str(pathlib.Path(sys.argv[1]).resolve())
bin = pathlib.Path(sys.executable).parent
work = pathlib.Path(tempfile.mkdtemp(prefix="no-change-"))


def dvc(folder):
    lines = ["stages:"]
    for before, stage in zip([None] + STAGES, STAGES):
        lines += [f"  {stage}:", f"    cmd: {runner} run p.toml --only {stage} --quiet && echo {stage} > {stage}.done"]
        lines += ["    deps:", "      - p.toml"] + ([f"      - {before}.done"] if before else [])
        lines += ["    outs:", f"      - {stage}.done"]
    (folder / "dvc.yaml").write_text("\n".join(lines) + "\n")
    subprocess.run([bin / "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    return [str(bin / "dvc"), "repro", "-q"]


def snakemake(folder):
    lines = ["rule all:", f"    input: '{STAGES[-1]}.done'"]
    for before, stage in zip([None] + STAGES, STAGES):
        inputs = ["'p.toml'"] + ([f"'{before}.done'"] if before else [])
        lines += [f"rule {stage.replace('-', '_')}:", f"    input: {', '.join(inputs)}", f"    output: '{stage}.done'"]
        lines += [f"    shell: '{runner} run p.toml --only {stage} --quiet && echo {stage} > {stage}.done'"]
    (folder / "Snakefile").write_text("\n".join(lines) + "\n")
    return [str(bin / "snakemake"), "--cores", "1", "--quiet", "all"]


calls = {}
for name, setup in [("runner", lambda folder: [runner, "run", "p.toml", "--quiet"]), ("dvc", dvc), ("snakemake", snakemake)]:
    folder = work / name
    folder.mkdir()
    (folder / "p.toml").write_text(PIPELINE)
    calls[name] = (folder, setup(folder))
    subprocess.run(calls[name][1], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    records = len(list((folder / "cache" / "records").rglob("*.json")))
    assert records == len(STAGES), f"{name} left {records} results"

times = {name: [] for name in calls}
for _ in range(ROUNDS):
    for name, (folder, call) in calls.items():
        began = time.perf_counter()
        subprocess.run(call, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times[name].append(time.perf_counter() - began)
ours = statistics.median(times["runner"])
for name, all in times.items():
    median = statistics.median(all)
    print(f"{name:10} {1000 * median:8.1f} ms  ({1000 * min(all):.1f} to {1000 * max(all):.1f})  {median / ours:6.1f} times ours")
shutil.rmtree(work)
