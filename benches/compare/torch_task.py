"""PyTorch's side of `product.py`: one training as a user would write it, on the same files.

Reads CIFAR-10 files, holds a tenth of the images out, and in every epoch shuffles, pads, crops and mirrors, trains, validates, keeps the best
network and saves a checkpoint: what the stages `gate-train` and `retrain` do. Prints a line when an epoch is over. The network, and
what a step does, are those of `torch_side.py`.
"""

import json, pathlib, sys

import torch, torch.nn as nn, torch.nn.functional as F

from torch_side import BN, network

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)


def images(folder, names):
    rows = torch.cat([torch.frombuffer(bytearray((folder / name).read_bytes()), dtype=torch.uint8) for name in names])
    rows = rows.view(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).contiguous(), rows[:, 0].long()


def cropped(x, padding):
    """Each image at a random place of its padded self, half of them mirrored."""
    count, channels, height, width = x.shape
    down, right = torch.randint(0, 2 * padding + 1, (2, count))
    rows = (down[:, None] + torch.arange(height))[:, None, :, None]
    columns = right[:, None] + torch.arange(width)
    columns = torch.where(torch.rand(count)[:, None] < 0.5, columns.flip(1), columns)[:, None, None, :]
    padded = F.pad(x, (padding,) * 4)
    return padded[torch.arange(count)[:, None, None, None], torch.arange(channels)[None, :, None, None], rows, columns]


def main():
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    layout = torch.channels_last if case["layout"] == "channels_last" else torch.contiguous_format
    folder = pathlib.Path(case["data"])
    pixels, labels = images(folder, [f"data_batch_{n}.bin" for n in range(1, 6)])
    held_out = len(pixels) // 10
    train, validation = torch.arange(len(pixels) - held_out), torch.arange(len(pixels) - held_out, len(pixels))
    net = network(case["channels"], case["pooled"], 3).to(memory_format=layout)
    norms = [module for module in net.modules() if isinstance(module, BN)]
    gates = case["work"] == "gates"
    if gates:
        net.requires_grad_(False)
        for norm in norms:
            nn.init.constant_(norm.weight, 0.5)
            norm.gated = True
            norm.gate.requires_grad_(True)
        optimizer = torch.optim.Adam([norm.gate for norm in norms], lr=0.01)
    else:
        trained = [p for name, p in net.named_parameters() if "gate" not in name]
        optimizer = torch.optim.SGD(trained, lr=case["lr"], momentum=0.9, weight_decay=1e-4)

    def batch(chosen, augmented):
        x = pixels[chosen]
        if augmented:
            x = cropped(x, 4)
        return ((x.float() / 255 - MEAN) / STD).to(memory_format=layout), labels[chosen]

    best = -1.0
    for epoch in range(case["epochs"]):
        net.train()
        for chosen in train[torch.randperm(len(train))].split(case["batch"]):
            x, y = batch(chosen, True)
            loss = F.cross_entropy(net(x), y)
            if gates:
                mean = torch.cat([norm.gate for norm in norms]).abs().mean()
                loss = loss + 0.5 * (mean - 0.2) ** 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if gates:
                with torch.no_grad():
                    for norm in norms:
                        norm.gate.clamp_(0, 1)
            loss.item()
        net.eval()
        correct = 0
        with torch.inference_mode():
            for chosen in validation.split(case["batch"]):
                x, y = batch(chosen, False)
                correct += (net(x).argmax(1) == y).sum().item()
        accuracy = correct / len(validation)
        if accuracy > best:
            best = accuracy
            kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        print(f"epoch {epoch + 1} {accuracy}", flush=True)
        if epoch + 1 < case["epochs"]:
            state = {"network": net.state_dict(), "optimizer": optimizer.state_dict(), "best": kept}
            torch.save(state, case["checkpoint"])


main()
