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

# The quickstart, in seconds.
SMALL = ["data.limit_train=1000", "data.limit_test=100", "data.validation=0.2", "init.width=4", "gate-train.epochs=5"]
SMALL += ["gate-train.batch_size=32", "retrain.epochs=1", "eval.latency=false"]

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
    (point,) = evaluated.Scalars("eval/best/accuracy")
    assert close(point.value, accuracy), (point, accuracy)


def main():
    runner = str(pathlib.Path(sys.argv[1]).resolve())
    quickstart = str(pathlib.Path("pipelines/quickstart.toml").resolve())
    of = [quickstart, *(word for change in SMALL for word in ("--set", change))]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run = [runner, "run", *of, "--cache", "cache", "--until", "eval", "--tensorboard"]
        interrupted([*run, "live"], folder)
        subprocess.run([*run, "live", "--quiet"], cwd=folder, check=True)
        log = [runner, "log", *of, "--cache", "cache"]
        lines = subprocess.run([*log, "gate-train", "--json"], cwd=folder, check=True, capture_output=True, text=True)
        events = map(json.loads, lines.stdout.splitlines())
        epochs = [event for event in events if event["event"] == "epoch-finished"]
        shown = subprocess.run([runner, "show", *of, "eval", "--json", "--cache", "cache"], cwd=folder, check=True, capture_output=True)
        accuracy = json.loads(shown.stdout)["record"]["metrics"]["networks"]["best"]["accuracy"]
        check(folder / "live", epochs, accuracy, live=True)
        # What is cached is written from its log, and so is what was run long ago.
        subprocess.run([*run, "cached", "--quiet"], cwd=folder, check=True)
        check(folder / "cached", epochs, accuracy, live=False)
        subprocess.run([*log, "--tensorboard", "past"], cwd=folder, check=True, capture_output=True)
        check(folder / "past", epochs, accuracy, live=False)
    print("TensorBoard reads every epoch once, with the figures of the log")


main()
