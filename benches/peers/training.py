"""Forward and backward of image/residual and audio/lfcc in PyTorch; see training.sh, which runs it."""
import sys
import time

import torch
from torch import nn


def unit(inp, out, k, stride=1, groups=1, relu=False):
    layers = [nn.Conv2d(inp, out, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(out)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(
            unit(c, c, 3, groups=c), unit(c, c, 1, relu=True), unit(c, c, 3, groups=c), unit(c, c, 1)
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


def residual(planes=7, widths=(16, 24, 48, 96), blocks=(1, 1, 2)):
    layers = [unit(planes, widths[0], 3, 2, relu=True)]
    for stage in range(3):
        inp, out = widths[stage], widths[stage + 1]
        layers += [unit(inp, inp, 3, 1 if stage == 0 else 2, groups=inp), unit(inp, out, 1, relu=True)]
        layers += [Block(out) for _ in range(blocks[stage])]
    return nn.Sequential(*layers, nn.Conv2d(widths[3], 1, 1))


class MaxHalves(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        return torch.maximum(a, b)


class Lfcc(nn.Module):
    def __init__(self, w=(16, 24, 32, 32, 48)):
        super().__init__()
        layers = [unit(1, 2 * w[0], 5, 2), MaxHalves()]
        for i in range(4):
            layers += [unit(w[i], 2 * w[i], 1), MaxHalves(), unit(w[i], 2 * w[i + 1], 3), MaxHalves()]
            layers += [nn.MaxPool2d(2)] if i < 3 else []
        self.trunk = nn.Sequential(*layers)
        self.frames, self.attention = nn.Conv1d(w[4], 1, 1), nn.Conv1d(w[4], 1, 1)

    def forward(self, x):
        x = self.trunk(x).mean(2)
        return (self.frames(x) * torch.softmax(self.attention(x), -1)).sum(-1)


def measure(name, net, shape):
    net.train()
    x = torch.randn(*shape)
    times = []
    deadline = time.perf_counter() + 12
    while time.perf_counter() < deadline:
        start = time.perf_counter()
        net.zero_grad()
        net(x).square().mean().backward()
        times.append(time.perf_counter() - start)
    times.sort()
    print(f"{name}: {1e3 * times[len(times) // 2]:.0f} ms, {shape[0] / times[len(times) // 2]:.0f} items/s")


torch.set_num_threads(int(sys.argv[1]))
print("PyTorch", torch.__version__, "with", torch.get_num_threads(), "threads")
measure("image/residual, batch of 64 at 96x96", residual(), (64, 7, 96, 96))
measure("audio/lfcc, batch of 32 at 60x200", Lfcc(), (32, 1, 60, 200))
