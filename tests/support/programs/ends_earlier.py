"""Its first attempt saves after one epoch and records ever better epochs. The next attempt ends where it begins."""

from __future__ import annotations

import time
from itertools import count

import baton


def main() -> None:
    run = baton.init()
    if run.restore() is not None:
        return
    for epoch in count(1):
        run.log({"loss": 1 / epoch}, step=epoch)
        run.epoch({"val_loss": 1 / epoch}, epoch=epoch, step=epoch)
        if epoch == 1:
            with run.save(step=epoch):
                pass
        run.check()
        time.sleep(0.05)


if __name__ == "__main__":
    main()
