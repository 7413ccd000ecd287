"""The five networks of the trial benchmark in PyTorch, with weights of their own: for their time alone.

A line on standard input names a network; the answer is a line of milliseconds: of copying all weights into the
network, as a trial does with weights that were read with faults, and of running it on so many images; and the number
of its weights. One thread.
"""

import sys
import time

import torch
from torch import nn

IMAGES = int(sys.argv[1])


def conv_norm(fro, to, kernel, stride, groups=1):
    conv = nn.Conv2d(fro, to, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(to))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def vgg():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(96, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self, fro, to, stride):
        super().__init__()
        self.change = nn.Sequential(conv_norm(fro, to, 3, stride), nn.ReLU(), conv_norm(to, to, 3, 1))
        self.shortcut = conv_norm(fro, to, 1, stride)

    def forward(self, x):
        return torch.relu(self.shortcut(x) + self.change(x))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def resnet():
    return nn.Sequential(
        conv_norm(1, 8, 3, 1), nn.ReLU(), Residual(8, 24, 2), Residual(24, 48, 2), Mean(), nn.Linear(48, 10)
    )


def mobilenet():
    layers, fro = [conv_norm(1, 12, 3, 1), nn.ReLU()], 12
    for to, stride in [(24, 2), (48, 1), (96, 2), (192, 1)]:
        layers += [conv_norm(fro, fro, 3, stride, groups=fro), nn.ReLU(), conv_norm(fro, to, 1, 1), nn.ReLU()]
        fro = to
    return nn.Sequential(*layers, Mean(), nn.Linear(192, 10))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 32, 2, 2)
        self.positions = nn.Parameter(torch.zeros(16, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        words = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.encoder(words)).mean(1))


NETWORKS = {"lenet": lenet, "vgg": vgg, "resnet": resnet, "mobilenet": mobilenet, "transformer": Transformer}


def weights_of(network):
    return [p for name, p in network.named_parameters() if p.dim() > 1]


@torch.inference_mode()
def main():
    torch.set_num_threads(1)
    images = torch.rand(IMAGES, 1, 8, 8)
    built = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in built:
            network = NETWORKS[name]().eval()
            weights = weights_of(network)
            built[name] = (network, weights, [torch.rand_like(w) for w in weights])
            network(images)
        network, weights, read = built[name]
        start = time.perf_counter()
        for weight, values in zip(weights, read):
            weight.copy_(values)
        network(images)
        milliseconds = 1e3 * (time.perf_counter() - start)
        print(milliseconds, sum(w.numel() for w in weights), flush=True)


main()
