"""Makes the sample of Fashion-MNIST that ships with runner.

    python make.py FOLDER_WITH_FASHION_MNIST_IDX_GZ

Takes the first images of every class, in the order of the files: 500 of each for training, 100 for testing.
The folder that was taken is described in docs/data.md: its split is not the published one.
"""
import gzip, pathlib, struct, sys

def idx(path):
    raw = gzip.open(path).read()
    dims = raw[3]
    shape = struct.unpack(">" + "I" * dims, raw[4 : 4 + 4 * dims])
    return shape, raw[4 + 4 * dims :]

source, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
for split, count in (("train", 500), ("t10k", 100)):
    (n, h, w), pixels = idx(source / f"{split}-images-idx3-ubyte.gz")
    _, labels = idx(source / f"{split}-labels-idx1-ubyte.gz")
    taken, seen = [], [0] * 10
    for i in range(n):
        if seen[labels[i]] < count:
            seen[labels[i]] += 1
            taken.append(i)
    body = b"".join(pixels[i * h * w : (i + 1) * h * w] for i in taken)
    images = struct.pack(">IIII", 0x803, len(taken), h, w) + body
    names = struct.pack(">II", 0x801, len(taken)) + bytes(labels[i] for i in taken)
    for kind, content in (("images-idx3", images), ("labels-idx1", names)):
        with open(here / f"{split}-{kind}-ubyte.gz", "wb") as out:
            with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as z:
                z.write(content)
