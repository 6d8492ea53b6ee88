"""A study of six stages at nine FLOPs ratios by runner, by DVC and by Snakemake, which call runner's own stages one by one.

    cargo build --release
    python benches/peers/study/study.py target/release/runner                    # makes a virtual environment with both
    python benches/peers/study/study.py target/release/runner --bin PATH/TO/bin  # takes dvc and snakemake from there

Each tool starts with an empty cache of its own and is asked three times: for nine ratios, for a tenth, and once more with nothing
changed. The wall time of each and the gate-trainings that ran are printed, the latter counted in the logs that runner keeps.
"""
import argparse, pathlib, shutil, subprocess, sys, tempfile, time, venv

HERE = pathlib.Path(__file__).parent
RATIOS = [f"0.{tenth}" for tenth in range(1, 10)]
ADDED = "0.55"

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("runner", type=lambda text: str(pathlib.Path(text).resolve()))
arguments.add_argument("--bin", type=pathlib.Path, help="the folder that has dvc and snakemake")
given = arguments.parse_args()

work = pathlib.Path(tempfile.mkdtemp(prefix="study-"))
bin = given.bin
if bin is None:
    venv.create(work / "venv", with_pip=True)
    bin = work / "venv" / "bin"
    subprocess.run([bin / "pip", "install", "-q", "dvc", "snakemake"], check=True)


def runner(folder, ratios):
    return [given.runner, "run", "p.toml", "--quiet", "--over", "threshold-search.flops_ratio=" + ",".join(ratios)]


def peer(folder, ratios):
    params = "".join(f'  - "{ratio}"\n' for ratio in ratios)
    (folder / "params.yaml").write_text(f"runner: {given.runner}\nratios:\n{params}")


def dvc(folder, ratios):
    if not (folder / ".dvc").exists():
        shutil.copy(HERE / "dvc.yaml", folder)
        subprocess.run([bin / "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    peer(folder, ratios)
    return [bin / "dvc", "repro", "-q"]


def snakemake(folder, ratios):
    shutil.copy(HERE / "Snakefile", folder)
    peer(folder, ratios)
    return [bin / "snakemake", "--cores", "1", "--quiet", "all"]


def started(folder, kind):
    """How often a stage of this kind was started, over all runs of this folder."""
    logs = (folder / "cache").rglob("*.jsonl")
    return sum(log.read_text().count(f'"event":"stage-started","stage":"{kind}"') for log in logs)


print(f"{'':10} {'nine ratios':>22} {'one more':>22} {'no change':>22}")
for tool in [runner, dvc, snakemake]:
    folder = work / tool.__name__
    folder.mkdir()
    shutil.copy(HERE / "p.toml", folder)
    cells, before = [], 0
    for ratios in [RATIOS, RATIOS + [ADDED], RATIOS + [ADDED]]:
        call = tool(folder, ratios)
        began = time.perf_counter()
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            sys.exit(f"{tool.__name__}: {done.stdout}{done.stderr}")
        now = started(folder, "gate-train")
        cells.append(f"{seconds:9.3f} s {now - before:3} gates")
        before = now
    assert started(folder, "eval") == len(RATIOS) + 1, f"{tool.__name__} has not evaluated every ratio"
    print(f"{tool.__name__:10} " + " ".join(f"{cell:>22}" for cell in cells), flush=True)
shutil.rmtree(work)
