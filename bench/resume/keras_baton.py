"""Keras and Baton: a loop of `train_on_batch` with all state in the save, as examples/programs/keras_loop.py."""

from __future__ import annotations

import keras
import numpy as np

import baton
from bench.resume.keras_model import compiled, images, save_weights
from bench.resume.steps import BATCH, PER_EPOCH, SAMPLES, SAVE_EVERY, TOTAL, Steps


def main() -> None:
    """Train."""
    run, (x, y), model = baton.init(), images(), compiled()
    variables = [*model.variables, *model.optimizer.variables]
    if saved := run.restore():
        with np.load(saved.folder / "variables.npz") as arrays:
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"arr_{index}"])
    steps = Steps(int(model.optimizer.iterations))
    for step in range(saved.step if saved else 0, TOTAL):
        epoch, batch = divmod(step, PER_EPOCH)
        chosen = np.random.default_rng([0, epoch]).permutation(SAMPLES)[batch * BATCH : (batch + 1) * BATCH]
        model.train_on_batch(x[chosen], y[chosen])
        done = step + 1
        if run.save_due() or done % SAVE_EVERY == 0:
            with run.save(step=done) as folder:
                np.savez(folder / "variables.npz", *(keras.ops.convert_to_numpy(one) for one in variables))
        steps.done(done, chosen)
        run.check()
    save_weights(model, "final.npz")


if __name__ == "__main__":
    main()
