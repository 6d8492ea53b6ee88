"""Loads a network that runner wrote into PyTorch, and evaluates it there on the sample of Fashion-MNIST.

    pip install torch numpy safetensors
    python examples/load_in_pytorch.py PATH    # the path that `runner show pipelines/quickstart.toml retrain.best` prints

The structure stands in the file's metadata, the tensors have PyTorch's names.
"""
import gzip, json, pathlib, sys

import numpy, torch, torch.nn as nn, torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file

CONVOLUTIONS = {"vgg11": [1, 1, 2, 2, 2], "vgg13": [2, 2, 2, 2, 2], "vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}


def vgg(structure):
    channels, layers, inputs = iter(structure["channels"]), [], structure["input"][0]
    for block, count in enumerate(CONVOLUTIONS[structure["arch"]]):
        for _ in range(count):
            outputs = next(channels)
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
        if block < 4:
            layers.append(nn.MaxPool2d(2))
    return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": nn.Linear(inputs, structure["classes"])})


def load(path):
    """The network in a file, with its structure."""
    with safe_open(path, "pt") as file:
        structure = json.loads(file.metadata()["network"])
    net, tensors = vgg(structure), load_file(path)
    # Gates, which only a network between gate-training and pruning has, scale what batch norm gives.
    for name in [name for name in tensors if name.endswith(".gate")]:
        gate = tensors.pop(name)
        for field in ("weight", "bias"):
            tensors[name.replace("gate", field)] *= gate
    net.load_state_dict(tensors)
    return net, structure


def sample(half):
    """Pixels and labels of the sample of Fashion-MNIST; `half` is `train` or `t10k`."""
    mini = pathlib.Path(__file__).parents[1] / "src/data/mini"
    pixels = numpy.frombuffer(gzip.open(mini / f"{half}-images-idx3-ubyte.gz").read(), numpy.uint8, offset=16)
    labels = numpy.frombuffer(gzip.open(mini / f"{half}-labels-idx1-ubyte.gz").read(), numpy.uint8, offset=8)
    return pixels.reshape(-1, 28, 28), labels.astype(numpy.int64)


if __name__ == "__main__":
    net, structure = load(sys.argv[1])
    net.eval()
    print(structure["arch"], "with", structure["channels"], "channels")
    pixels, labels = sample("t10k")
    images = (torch.tensor(pixels[:, None] / 255) - 0.2860) / 0.3530
    with torch.inference_mode():
        logits = net["classifier"](net["features"](images.float()).mean((2, 3)))
    labels = torch.tensor(labels)
    print(f"accuracy {(logits.argmax(1) == labels).float().mean():.4f}, loss {F.cross_entropy(logits, labels):.6f}")
