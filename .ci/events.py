"""Holds the stream of `runner run --json` to what it promises: events.py RUNNER PIPELINE, after a first whole run."""
import json, subprocess, sys, time


def run(*arguments):
    """The events of a run, every line of which must be JSON, and its wall time."""
    began = time.perf_counter()
    done = subprocess.run([sys.argv[1], "run", sys.argv[2], "--json", *arguments], stdout=subprocess.PIPE, check=True)
    took = time.perf_counter() - began
    events = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert all("event" in event and "time" in event for event in events), events
    assert (events[0]["event"], events[-1]["event"]) == ("run-started", "run-finished"), events
    assert events[-1]["status"] == "done", events[-1]
    return events, took


def stages(events, kind):
    return [event["stage"] for event in events if event["event"] == kind]


events, first = run()
cached = stages(events, "stage-cached")
assert len(cached) == events[0]["stages"] == events[-1]["cached"] >= 6, events
assert events[0]["to_run"] == events[-1]["ran"] == 0, events
took = min([first] + [run()[1] for _ in range(4)])
print(f"all {len(cached)} stages cached: {1000 * took:.0f} ms of wall time, the best of 5")

last = cached[-1]
events, _ = run("--force", last)
assert stages(events, "stage-started") == stages(events, "stage-finished") == [last], events
assert events[-1]["ran"] == 1, events[-1]
print(f"{last} forced: {len(events)} events, each a line of JSON")
