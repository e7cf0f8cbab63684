"""No fault: all of its state is saved. `seed` and `save` are params."""

import json
from functools import partial

import numpy as np
from common import BATCH, PER_EPOCH, POINTS, TOTAL, gradient, val_loss

import baton


def write(folder, arrays, rest):
    """The files of a save."""
    np.savez(folder / "state.npz", **arrays)
    (folder / "rest.json").write_text(json.dumps(rest))


run = baton.init(params={"seed": 0, "save": "due"})
np.random.seed(run.params["seed"])
generator = np.random.default_rng(run.params["seed"])
weights, averaged, best_weights, best, first = np.zeros(4), np.zeros(4), np.zeros(4), float("inf"), 0
order = np.arange(POINTS)
if saved := run.restore():
    first, rest = saved.step, json.loads((saved.folder / "rest.json").read_text())
    with np.load(saved.folder / "state.npz") as arrays:
        weights, averaged, best_weights = arrays["weights"], arrays["averaged"], arrays["best_weights"]
        order = arrays["order"]
        np.random.set_state({**rest["global"], "state": {**rest["global"]["state"], "key": arrays["key"]}})
    generator.bit_generator.state = rest["generator"]
    best = rest["best"]
for step in range(first, TOTAL):
    number = step % PER_EPOCH
    if number == 0:
        order = generator.permutation(POINTS)
    points = order[number * BATCH : (number + 1) * BATCH]
    loss, slope = gradient(weights, points, np.random.normal(0, 0.1, (len(points), 4)))
    weights = weights - 0.2 * 0.99**step * slope
    averaged = 0.9 * averaged + 0.1 * weights
    run.log({"loss": loss}, step=step)
    done = step + 1
    if done % PER_EPOCH == 0:
        found = val_loss(averaged)
        if found < best:
            best, best_weights = found, averaged.copy()
        run.epoch({"val_loss": found}, epoch=done // PER_EPOCH, step=done)
    if (run.params["save"] == "epochs" and done % PER_EPOCH == 0) or (
        run.params["save"] != "epochs" and run.save_due()
    ):
        state = np.random.get_state(legacy=False)
        arrays = {"weights": weights, "averaged": averaged, "best_weights": best_weights, "order": order}
        arrays["key"] = state["state"].pop("key")
        rest = {"global": state, "generator": generator.bit_generator.state, "best": best}
        if run.params["save"] == "background":
            run.save_in_background(
                step=done, write=partial(write, arrays={**arrays}, rest=json.loads(json.dumps(rest)))
            )
        else:
            with run.save(step=done) as folder:
                write(folder, arrays, rest)
    run.check()
np.savez("final.npz", weights=weights, averaged=averaged, best_weights=best_weights)
run.publish("final.npz", "final.npz")
