"""Reads runner's TensorBoard files with TensorBoard's own reader.

    python read_tensorboard.py RUNNER

Trains a small network, is interrupted, goes on, and looks whether TensorBoard sees every epoch once and with the figures
of the log; then the same of the files that `runner log --tensorboard` writes. Needs `pip install tensorboard`.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PIPELINE = """
name = "small"
[data]
set = "fashion-mnist-mini"
limit_train = 1000
limit_test = 100
validation = 0.2
[[stage]]
kind = "init"
arch = "vgg11"
width = 4
[[stage]]
kind = "gate-train"
inputs.network = "init"
epochs = 5
batch_size = 32
[[stage]]
kind = "threshold-search"
inputs.network = "gate-train"
flops_ratio = 0.5
[[stage]]
kind = "prune"
inputs.channels = "threshold-search"
[[stage]]
kind = "eval"
inputs.network = "prune"
latency = false
"""

# Tags of a log's fields.
TAGS = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "train/lr": "lr",
    "validation/loss": "validation_loss",
    "validation/accuracy": "validation_accuracy",
    "gates/open": "sparsity",
    "gates/mean": "mean_gate",
}


def interrupted(command, folder):
    """Runs until the second epoch is done, and interrupts."""
    run = subprocess.Popen([*command, "--json"], cwd=folder, stdout=subprocess.PIPE, text=True)
    epochs = 0
    for line in run.stdout:
        epochs += json.loads(line)["event"] == "epoch-finished"
        if epochs == 2:
            run.send_signal(signal.SIGINT)
            epochs += 1
    assert run.wait() == 130, run.returncode


def close(a, b):
    return abs(a - b) <= 1e-6 * max(1.0, abs(b))


def read(root, stage):
    (folder,) = root.glob(f"{stage}-*")
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    found.Reload()
    return found, len(list(folder.iterdir()))


def check(root, epochs, accuracy, live):
    found, files = read(root, "gate-train")
    assert files == (2 if live else 1), f"{files} files in {root}"
    last = {epoch["epoch"]: epoch for epoch in epochs}
    assert sorted(last) == [1, 2, 3, 4, 5], sorted(last)
    for tag, field in TAGS.items():
        points = found.Scalars(tag)
        assert [point.step for point in points] == [last[epoch]["step"] for epoch in sorted(last)], (tag, points)
        for point, epoch in zip(points, sorted(last)):
            assert close(point.value, last[epoch][field]), (tag, point, last[epoch])
    for point, epoch in zip(found.Histograms("gates/magnitude"), sorted(last), strict=True):
        histogram, logged = point.histogram_value, last[epoch]["gates"]
        assert point.step == last[epoch]["step"]
        assert list(histogram.bucket) == logged["counts"] and histogram.num == sum(logged["counts"])
        assert histogram.max == logged["max"] and close(histogram.bucket_limit[-1], logged["max"])
    if live:
        steps = [point.step for point in found.Scalars("step/loss")]
        assert steps == sorted(set(steps)) and steps, f"steps that overlap: {steps}"
    evaluated, _ = read(root, "eval")
    (point,) = evaluated.Scalars("eval/network/accuracy")
    assert close(point.value, accuracy), (point, accuracy)


def main():
    runner = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "p.toml").write_text(PIPELINE)
        run = [runner, "run", "p.toml", "--tensorboard", "live"]
        interrupted(run, folder)
        subprocess.run([*run, "--quiet"], cwd=folder, check=True)
        log = [runner, "log", "p.toml", "gate-train", "--json"]
        lines = subprocess.run(log, cwd=folder, check=True, capture_output=True, text=True).stdout.splitlines()
        epochs = [event for event in map(json.loads, lines) if event["event"] == "epoch-finished"]
        shown = subprocess.run([runner, "show", "p.toml", "eval", "--json"], cwd=folder, check=True, capture_output=True)
        accuracy = json.loads(shown.stdout)["record"]["metrics"]["networks"]["network"]["accuracy"]
        check(folder / "live", epochs, accuracy, live=True)
        # What is cached is written from its log, and so is what was run long ago.
        subprocess.run([runner, "run", "p.toml", "--quiet", "--tensorboard", "cached"], cwd=folder, check=True)
        check(folder / "cached", epochs, accuracy, live=False)
        subprocess.run([runner, "log", "p.toml", "--tensorboard", "past"], cwd=folder, check=True, capture_output=True)
        check(folder / "past", epochs, accuracy, live=False)
    print("TensorBoard reads every epoch once, with the figures of the log")


main()
