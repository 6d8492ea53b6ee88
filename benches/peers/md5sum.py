#!/usr/bin/env python3
"""How quickly `runner cache verify` checks an object, beside `md5sum` on the same file.

    python3 benches/peers/md5sum.py [--size MIB] [--rounds N] [--folder DIR] [--runner PATH]

Both read the same file, in turn, from the memory of the system: the file is read once before. What is printed is the median of
each, and their ratio. The folder is to have room for the file; /dev/shm leaves out the disk altogether.
"""
import argparse, json, os, pathlib, statistics, subprocess, tempfile, time


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--size", type=int, default=1536, help="MiB")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--folder", help="where the file is put; a temporary folder without")
    arguments.add_argument("--runner", type=pathlib.Path, help="the binary; it is built without")
    given = arguments.parse_args()
    runner = given.runner or built()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        cache = pathlib.Path(folder)
        verify = [runner.resolve(), "cache", "verify", "--cache", cache]
        # Its name is the hash of its content, which the first check tells.
        file = place(cache, "0" * 64)
        with open(file, "wb") as out:
            block = os.urandom(1 << 20)
            for number in range(given.size):
                out.write(number.to_bytes(8, "little") + block[8:])
        found = subprocess.run([*verify, "--json"], capture_output=True, text=True).stdout
        [finding] = json.loads(found)["findings"]
        file = file.rename(place(cache, finding["found"]))
        ours, theirs = [], []
        for _ in range(given.rounds):
            ours.append(seconds(verify))
            theirs.append(seconds(["md5sum", file]))
    ours, theirs = statistics.median(ours), statistics.median(theirs)
    print(f"{given.size} MiB, median of {given.rounds}")
    print(f"runner cache verify  {ours:6.3f} s  {given.size / ours / 1024:5.2f} GiB/s")
    print(f"md5sum               {theirs:6.3f} s  {given.size / theirs / 1024:5.2f} GiB/s")
    print(f"ratio                {theirs / ours:6.2f}")


def built():
    subprocess.run(["cargo", "build", "--release", "--quiet", "--locked"], check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "release" / "runner"


def place(cache, name):
    folder = cache / "objects" / name[:2]
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.safetensors"


def seconds(command):
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
