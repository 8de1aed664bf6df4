"""Writes vectors/edges.json: small placement requests with the answers of NumPy in float64, independent of the Rust
reference. Run it here: python3 gen.py. Hosts are without padding; [allow] is a list of booleans per VM and host."""

import json
from pathlib import Path

import numpy as np

F = np.float32


def answer(case):
    """Overload probability, headroom and cost of all VMs on all hosts at once, then the cheapest by a stable sort."""
    demand, room, inv_cap = (np.asarray(case[k], F).astype(np.float64) for k in ("demand", "room", "inv_cap"))
    host_cost, move_cost = (np.asarray(case[k], F).astype(np.float64) for k in ("host_cost", "move_cost"))
    present, allow = np.asarray(case["present"]), np.asarray(case["allow"], bool)
    n_vms, n_hosts = allow.shape
    away = present[:, None] != np.arange(n_hosts)[None, :]
    # [vm, path, step, resource, host]
    share = demand[..., None] * inv_cap[None, None, None] * away[:, None, None, None, :]
    worst = (room[None] - share).min(axis=(2, 3))
    probability, headroom = (worst < 0).mean(axis=1), worst.mean(axis=1)
    cost = F(case["risk_cost"]).astype(np.float64) * probability - F(case["room_value"]).astype(np.float64) * headroom
    cost += move_cost[:, None] * away + host_cost[None]
    out = []
    for v in range(n_vms):
        order = [h for h in np.argsort(cost[v], kind="stable") if allow[v, h]][: case["top"]]
        out.append([{"host": int(h), "probability": probability[v, h], "headroom": headroom[v, h], "cost": cost[v, h]}
                    for h in order])
    return out


def case(name, demand, room, inv_cap, top=2, risk_cost=10.0, room_value=1.0, **more):
    demand, room, inv_cap = np.asarray(demand, F), np.asarray(room, F), np.asarray(inv_cap, F)
    n_vms, n_hosts = len(demand), room.shape[-1]
    c = {"name": name, "top": top, "risk_cost": float(F(risk_cost)), "room_value": float(F(room_value)),
         "demand": demand.astype(float).tolist(), "room": room.astype(float).tolist(),
         "inv_cap": inv_cap.astype(float).tolist(), "host_cost": [0.0] * n_hosts, "move_cost": [0.0] * n_vms,
         "present": [-1] * n_vms, "allow": [[True] * n_hosts] * n_vms}
    c |= {k: np.asarray(v).tolist() for k, v in more.items()}
    return c | {"answer": answer(c)}


def one(room, demand=2.0, cap=4.0, **more):
    """One VM, path, step and resource."""
    return dict(demand=[[[[demand]]]], room=[[[room]]], inv_cap=[[1.0 / cap] * len(room)], **more)


def edges():
    below = np.nextafter(F(0.5), F(0.0))
    yield case("full to the last bit, one bit over, one bit free", **one([0.5, below, np.nextafter(F(0.5), F(1))]), top=3)
    yield case("equal hosts in the order of their index", **one([0.75] * 70), top=8)
    yield case("no host is allowed", **one([0.9, 0.9], allow=[[False, False]]))
    yield case("more hosts are asked for than there are", **one([0.9, 0.8], allow=[[False, True]]), top=8)
    yield case("one host", **one([0.5]), top=1)
    yield case("the present host needs no room and no move",
               **one([0.9, 0.125, 0.9], present=[1], move_cost=[1.5], host_cost=[0.0, 0.25, 0.25]), top=3)
    yield case("a move that is worth its cost", **one([-0.25, 0.875], present=[0], move_cost=[4.0]))
    yield case("the present host is not allowed any more",
               **one([0.9, 0.9, 0.5], present=[0], move_cost=[1.0], allow=[[False, True, True]]))
    yield case("the worst step and resource of each path decide",
               demand=[[[[1, 8], [2, 0]], [[4, 1], [0, 0]], [[0, 0], [0, 16]]]],
               room=[[[[0.5, 1.0], [0.5, 0.25]], [[1, 1], [1, 1]]], [[[0.75, 0.5], [1, 1]], [[0.5, 0.25], [1, 1]]],
                     [[[0, 0.125], [1, 1]], [[1, 1], [0.5, 1]]]],
               inv_cap=[[0.125, 0.25], [0.03125, 0.0625]], risk_cost=3.0, room_value=0.5)
    yield case("risk is weighed against the price of a host", **one([0.5, 0.25, 0.75], host_cost=[1.0, 0.0, 10.5]), top=3)
    rng = np.random.default_rng(7)
    vms, paths, steps, resources, hosts = 9, 3, 2, 3, 131
    yield case("nine VMs, three tiles of hosts", demand=rng.uniform(0, 16, (vms, paths, steps, resources)),
               room=rng.uniform(0, 1, (paths, steps, resources, hosts)),
               inv_cap=1 / rng.choice([32.0, 48.0, 64.0], (resources, hosts)), top=4, risk_cost=5.0, room_value=0.75,
               host_cost=rng.integers(0, 4, hosts) / 8, move_cost=rng.integers(0, 3, vms) / 4,
               present=rng.integers(-1, hosts, vms), allow=rng.random((vms, hosts)) < 0.4)


if __name__ == "__main__":
    to = Path(__file__).with_name("vectors") / "edges.json"
    to.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in edges()) + "\n]\n")
