"""PyTorch's side of the comparison: one kind of step, timed on request.

Builds the network, warms up, prints `ready`; then runs one step for every line on standard input and prints its seconds; at the end of the
input it prints its peak memory. `ours.rs` beside it does the same for runner.
"""

import json, sys, time

import torch, torch.nn as nn, torch.nn.functional as F


class BN(nn.BatchNorm2d):
    """Batch norm with a gate after it. The gate scales weight and bias, which is the same and the cheapest for PyTorch."""

    def __init__(self, channels):
        super().__init__(channels)
        self.gate = nn.Parameter(torch.ones(channels))
        self.gated = False

    def forward(self, x):
        if not self.gated:
            return super().forward(x)
        self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight * self.gate, self.bias * self.gate,
            self.training, self.momentum, self.eps,
        )


def network(channels, pooled, inputs):
    layers = []
    for outputs, pool in zip(channels, pooled):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), BN(outputs), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(2)] if pool else []
        inputs = outputs
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def main():
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case["threads"])
    torch.manual_seed(0)
    layout = torch.channels_last if case["layout"] == "channels_last" else torch.contiguous_format
    net = network(case["channels"], case["pooled"], case["input"][0]).to(memory_format=layout)
    norms = [module for module in net.modules() if isinstance(module, BN)]
    images = torch.randn(case["batch"], *case["input"]).to(memory_format=layout)
    labels = torch.randint(0, 10, (case["batch"],))
    if case["work"] == "gates":
        net.requires_grad_(False)
        for norm in norms:
            nn.init.constant_(norm.weight, 0.5)
            norm.gated = True
            norm.gate.requires_grad_(True)
        optimizer = torch.optim.Adam([norm.gate for norm in norms], lr=0.01)
    else:
        optimizer = torch.optim.SGD(
            [p for name, p in net.named_parameters() if "gate" not in name], lr=0.1, momentum=0.9, weight_decay=1e-4
        )

    def train():
        loss = F.cross_entropy(net(images), labels)
        if case["work"] == "gates":
            mean = torch.cat([norm.gate for norm in norms]).abs().mean()
            loss = loss + 0.5 * (mean - 0.2) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if case["work"] == "gates":
            with torch.no_grad():
                for norm in norms:
                    norm.gate.clamp_(0, 1)
        loss.item()

    def evaluate():
        with torch.inference_mode():
            logits = net(images)
            (logits.argmax(1) == labels).sum().item()
            F.cross_entropy(logits, labels).item()

    step = evaluate if case["work"] == "eval" else train
    net.train(case["work"] != "eval")
    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)
    with open("/proc/self/status") as status:
        print(next(line.split()[1] for line in status if line.startswith("VmHWM")), flush=True)


if __name__ == "__main__":
    main()
