"""scikit-learn: `partial_fit` on handwritten digits. The estimator holds all of its state, and is saved as a pickle.

Run it: `python sklearn_digits.py`. End it with Ctrl-C, run it again, and it continues.
"""

import pickle
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

import baton

run = baton.init(params={"epochs": 30, "batch": 64, "hidden": 64, "seed": 0})
p = run.params
images, labels = load_digits(return_X_y=True)
images = images / 16
train_x, test_x, train_y, test_y = images[:1280], images[1280:], labels[:1280], labels[1280:]
classes = np.arange(10)
per_epoch = len(train_x) // p["batch"]

if saved := run.restore():
    # Weights, Adam's moments, and the random generator. Only load a pickle that your own program wrote.
    model = pickle.loads((saved.folder / "model.pickle").read_bytes())
else:
    model = MLPClassifier((p["hidden"],), random_state=np.random.RandomState(p["seed"]))

total = p["epochs"] * per_epoch
for step in range(saved.step if saved else 0, total):
    epoch, batch = divmod(step, per_epoch)
    # The order is a function of the epoch: after a restore there is nothing to replay.
    order = np.random.default_rng([p["seed"], epoch]).permutation(len(train_x))
    chosen = order[batch * p["batch"] : (batch + 1) * p["batch"]]
    model.partial_fit(train_x[chosen], train_y[chosen], classes=classes)

    done = step + 1
    run.log({"loss": model.loss_}, step=step)
    if done % per_epoch == 0:
        probabilities = model.predict_proba(test_x)
        accuracy = np.mean(probabilities.argmax(1) == test_y)
        row = {"val_loss": log_loss(test_y, probabilities, labels=classes), "val_accuracy": accuracy}
        run.epoch(row, epoch=epoch + 1, step=done)
        run.progress(step=done, total=total)
    if run.save_due() or done == total:
        with run.save(step=done, epoch=epoch) as folder:
            (folder / "model.pickle").write_bytes(pickle.dumps(model))
    run.check()

with tempfile.TemporaryDirectory() as folder:
    weights = Path(folder) / "weights.npz"
    np.savez(weights, *model.coefs_, *model.intercepts_)
    run.publish("weights.npz", weights)
