"""A training program over `baton.data.batches`, as a user writes it. It appends each batch to a file.

Arguments: the folder of the run, the file, the kind of workers (`none`, `threads`, `processes`), and how it ends:
`no`, `stop`: by SIGINT to its process group before batch 4, as Ctrl-C does, `kill`: by SIGKILL then.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

import baton

EPOCHS, SIZE, BATCH = 3, 23, 4
MIDDLE = 4


class Noisy:
    """A map-style data set that draws from the generators of the process."""

    def __len__(self) -> int:
        return SIZE

    def __getitem__(self, index: int) -> Any:
        return index, float(np.random.random())


def augmented(sample: Any, rng: np.random.Generator) -> Any:
    return sample[0], float(rng.random())


def main(folder: str, file: str, workers: str, end: str) -> None:
    run = baton.init(folder)
    saved = run.restore()
    makers = {} if workers == "none" else {workers: 2}
    transform = augmented if workers == "threads" else None
    data = baton.data.batches(Noisy(), batch_size=BATCH, seed=3, transform=transform, **makers)  # type: ignore[arg-type]
    step = 0
    if saved:
        data.restore(saved.cursor["data"])
        step = saved.step
    seen = json.loads((saved.folder / "seen.json").read_text()) if saved else []
    for epoch, part in data.epochs(EPOCHS):
        for index, batch in part:
            if step == MIDDLE and run.attempt == 1 and end != "no":
                print("in the middle", flush=True)
                if end == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                os.killpg(os.getpgid(0), signal.SIGINT)
            seen.append([epoch, index, *(leaf.tolist() for leaf in batch)])
            step += 1
            if run.save_due():
                with run.save(step=step, cursor={"data": data.state()}) as to:
                    (to / "seen.json").write_text(json.dumps(seen))
            run.check()
    data.close()
    Path(file).write_text(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
