"""Repeats a `retrain` of runner in PyTorch, image by image: order, crops, mirrors, rates and updates (docs/data.md, "Order and changes").

    pip install torch numpy safetensors blake3
    python examples/retrain_in_pytorch.py PIPELINE.toml CACHE FINGERPRINT    # of a retrain stage, from `runner plan --json`

It prints the mean loss of every epoch beside runner's, and the largest difference in any tensor of the last network. The
images are those of the sample that ships with runner. It fails where anything differs by more than 1e-6.
"""
import itertools, json, math, pathlib, struct, sys, tomllib

import blake3, numpy, torch, torch.nn.functional as F

from load_in_pytorch import load, sample

WORD = 1 << 32
ROUNDS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def stream(purpose, seed, *place):
    """The 32-bit words of ChaCha8 under the key of a purpose, a seed and a place."""
    key = blake3.blake3(struct.pack(f"<{1 + len(place)}Q", seed, *place), derive_key_context=f"runner random stream: {purpose}")
    for block in itertools.count():
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key.digest()), block, 0, 0, 0]
        state = start[:]
        for a, b, c, d in ROUNDS * 4:
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) % WORD
                state[z] ^= state[x]
                state[z] = (state[z] << turn | state[z] >> 32 - turn) % WORD
        yield from ((one + two) % WORD for one, two in zip(state, start))


def below(words, bound):
    """A number below `bound`: Canon's method, as in rand 0.9."""
    high, low = divmod(next(words) * bound, WORD)
    return high + (low + (next(words) * bound >> 32) >= WORD) if low > WORD - bound else high


def shuffled(items, words):
    """Fisher and Yates from the front, several indices from one draw, as in rand 0.9."""
    items, chunk, left = list(items), 0, 1
    for count in range(1, len(items) + 1):
        if left == 0:
            bound, left = count, 1
            while bound * (count + left) < WORD:
                bound, left = bound * (count + left), left + 1
            chunk = below(words, bound)
        left -= 1
        chunk, index = divmod(chunk, count) if left else (0, chunk)
        items[count - 1], items[index] = items[index], items[count - 1]
    return items


def changed(image, padding, flip, words):
    """The image, moved down and right by up to `padding` pixels and perhaps mirrored; black comes in at the rim."""
    if padding or flip:
        down, right = below(words, 2 * padding + 1), below(words, 2 * padding + 1)
        mirror = flip and (next(words), next(words))[1] < WORD // 2
        wide = numpy.pad(image, padding)
        rows, columns = 2 * padding - down, 2 * padding - right
        image = wide[rows : rows + image.shape[0], columns : columns + image.shape[1]]
        image = image[:, ::-1] if mirror else image
    return image


def training_images(labels, data):
    """The indices that are trained on: the first of every class, without the last of each, which are held out."""
    ranks = [numpy.sum(labels[:at] == label) for at, label in enumerate(labels)]
    chosen = sorted(sorted(range(len(labels)), key=lambda at: (ranks[at], at))[: data.get("limit_train")])
    counts = numpy.bincount(labels[chosen])
    kept = [count - math.floor(count * data.get("validation", 0.1) + 0.5) for count in counts]
    return numpy.array(chosen), [at for at, index in enumerate(chosen) if ranks[index] < kept[labels[index]]]


def rate(schedule, epochs, epoch, step, steps):
    shares = [max(math.floor(share * epochs), 1) for share in schedule["milestones"]]
    kinds = {"constant": 1.0, "cosine": (1 + math.cos(math.pi * epoch / epochs)) / 2,
             "multi-step": schedule["gamma"] ** sum(epoch >= start for start in shares)}
    warm = schedule["warmup_epochs"] * steps
    return kinds[schedule["kind"]] * ((step + 1) / (warm + 1) if step < warm else 1.0)


pipeline, cache, fingerprint = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
data = tomllib.loads(pipeline.read_text())["data"]
record = json.loads((cache / "records" / fingerprint[:2] / f"{fingerprint}.json").read_text())
about, history = record["provenance"]["parameters"], record["metrics"]["history"]
place = lambda hash: cache / "objects" / hash[:2] / f"{hash}.safetensors"
net = load(place(record["provenance"]["inputs"]["network"]))[0].double()
pixels, labels = sample("train")
chosen, indices = training_images(labels, data)
pixels, labels, size, seed = pixels[chosen], torch.tensor(labels[chosen]), about["batch_size"], record["provenance"]["seed"]
how = {key: about["optimizer"][key] for key in ("lr", "momentum", "weight_decay", "nesterov")}
optimizer, worst, step = torch.optim.SGD(net.parameters(), **how), 0.0, 0
for epoch, known in enumerate(history):
    order, total = shuffled(indices, stream("order", seed, epoch)), 0.0
    batches = [range(at, min(at + size, len(order))) for at in range(0, len(order), size)]
    batches = [batch for batch in batches if len(batch) > 1] or batches
    for batch in batches:
        words = lambda at: stream("augmentation", seed, epoch, at)
        images = [changed(pixels[order[at]], about["crop_padding"], about["flip"], words(at)) for at in batch]
        images = ((numpy.stack(images)[:, None] / 255 - 0.2860) / 0.3530).astype(numpy.float32)
        wanted = labels[[order[at] for at in batch]]
        logits = net["classifier"](net["features"](torch.tensor(images).double()).mean((2, 3)))
        loss = F.cross_entropy(logits, wanted, label_smoothing=about["label_smoothing"])
        for group in optimizer.param_groups:
            group["lr"] = how["lr"] * rate(about["schedule"], len(history), epoch, step, len(batches))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, step = total + loss.item() * len(batch), step + 1
    mean = total / sum(map(len, batches))
    worst = max(worst, abs(mean - known["train_loss"]))
    print(f"epoch {epoch + 1}: loss {mean:.9f}, runner {known['train_loss']:.9f}")
last = load(place(record["outputs"]["last"]["object"]))[0].double().state_dict()
apart = max((net.state_dict()[name] - tensor).abs().max().item() for name, tensor in last.items())
print(f"{step} steps: losses differ by {worst:.1e} at most, tensors by {apart:.1e}")
sys.exit(max(worst, apart) > 1e-6)
