"""The network: torch.nn.LSTM, one layer, and a head on [h, statistics] that cannot cross its quantiles."""

import torch
import torch.nn as nn

from features import INPUT, STATS

LEVELS = (0.05, 0.50, 0.90, 0.95, 0.99)
LEVEL_WEIGHTS = (1.0, 2.0, 1.0, 1.5, 2.0)


class Net(nn.Module):
    """Steps a batch of streams; outputs are relative to the last value, in units of the window's scale."""

    def __init__(self, hidden=32, width=64):
        super().__init__()
        self.lstm = nn.LSTM(INPUT, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden + STATS, width), nn.ReLU(), nn.Linear(width, 4 * len(LEVELS)))

    def forward(self, inp, stats, state=None):
        """inp (n, t, INPUT), stats (n, t, STATS) -> quantiles (n, t, 4, 5), state."""
        h, state = self.lstm(inp, state)
        o = self.head(torch.cat([h, stats], -1)).unflatten(-1, (4, len(LEVELS)))
        sp = nn.functional.softplus(o)
        med = o[..., 1:2]
        return torch.cat([med - sp[..., 0:1], med, med + torch.cumsum(sp[..., 2:], -1)], -1), state


def pinball(error, levels):
    """error = actual - quantile."""
    return torch.maximum(levels * error, (levels - 1) * error)
