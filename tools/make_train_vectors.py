"""What `foreshade train` must compute, by PyTorch: host/train/tests/torch/steps.safetensors.

    python tools/make_train_vectors.py --out host/train/tests/torch/steps.safetensors

A small network over two chunks of ticks with the state carried on: `start.*` its state dict, `x`, `stats`, `last`, `scale`,
`y`, `weight` (stream, tick, ...), then for chunk 0 and 1 `loss.N`, `norm.N` (of the gradient), `grad.N.*` before clipping,
`after.N.*` after a step of Adam at the rate of the cycle. `rates` (step, 2) are the learning rate and Adam's first decay over
a cycle of 40 steps. `plain.*` is a torch.nn.LSTM(6, 5), `net.*` a whole state dict that `--init` takes.
"""

import argparse

import torch
from safetensors.torch import save_file

import lstm_net
from lstm_net import LEVEL_WEIGHTS, LEVELS, pinball

STREAMS, TICKS, CHUNK, INPUT, STATS, HIDDEN, WIDTH = 3, 9, 5, 3, 4, 5, 6
RATE, STEPS = 4e-3, 40


class Small(torch.nn.Module):
    """lstm_net.Net at other sizes."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(INPUT, HIDDEN, batch_first=True)
        outputs = 4 * len(LEVELS)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(HIDDEN + STATS, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, outputs)
        )

    forward = lstm_net.Net.forward


def cycle(opt):
    return torch.optim.lr_scheduler.OneCycleLR(opt, RATE, total_steps=STEPS)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--out", required=True)
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(3)
    net, out = Small(), {}
    out |= {f"start.{k}": v.clone() for k, v in net.state_dict().items()}
    x, stats = torch.randn(STREAMS, TICKS, INPUT), torch.randn(STREAMS, TICKS, STATS)
    last, scale = torch.rand(STREAMS, TICKS) * 50, torch.rand(STREAMS, TICKS) * 5 + 0.5
    y = last[..., None] + torch.randn(STREAMS, TICKS, 4) * 6
    weight = torch.rand(STREAMS, TICKS) * 10
    weight[1, 2] = 0
    out |= dict(x=x, stats=stats, last=last, scale=scale, y=y, weight=weight)
    opt = torch.optim.Adam(net.parameters(), RATE / 2, weight_decay=1e-5)
    sched = cycle(opt)
    levels, weights, state = torch.tensor(LEVELS), torch.tensor(LEVEL_WEIGHTS), None
    for n, c in enumerate(range(0, TICKS, CHUNK)):
        e = min(c + CHUNK, TICKS)
        q, state = net(x[:, c:e], stats[:, c:e], state)
        state = tuple(v.detach() for v in state)
        error = (y[:, c:e] - last[:, c:e, None])[..., None] - q * scale[:, c:e, None, None]
        loss = (pinball(error, levels) * weights * weight[:, c:e, None, None]).mean()
        opt.zero_grad()
        loss.backward()
        out |= {f"grad.{n}.{k}": v.grad.clone() for k, v in net.named_parameters()}
        norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        sched.step()
        out |= {f"after.{n}.{k}": v.clone() for k, v in net.state_dict().items()}
        out |= {f"loss.{n}": loss.detach()[None], f"norm.{n}": norm[None]}
    other = torch.optim.Adam([torch.zeros(1, requires_grad=True)], RATE / 2)
    sched, rates = cycle(other), []
    for step in range(STEPS):
        group = other.param_groups[0]
        rates.append([group["lr"], group["betas"][0]])
        if step + 1 < STEPS:
            other.step()
            sched.step()
    out["rates"] = torch.tensor(rates, dtype=torch.float32)
    save_file({k: v.detach().contiguous() for k, v in out.items()}, a.out)
    folder = a.out.rsplit("/", 1)[0]
    whole = lstm_net.Net(5, 7)
    save_file({k: v.contiguous() for k, v in whole.state_dict().items()}, f"{folder}/net.safetensors")
    for name, lstm in (
        ("plain", torch.nn.LSTM(6, 5)),
        ("stacked", torch.nn.LSTM(6, 3, num_layers=2)),
        ("both_ways", torch.nn.LSTM(6, 3, bidirectional=True)),
    ):
        save_file({k: v.contiguous() for k, v in lstm.state_dict().items()}, f"{folder}/{name}.safetensors")


if __name__ == "__main__":
    main()
