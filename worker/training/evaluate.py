"""`python -m worker.training.evaluate`: evaluates a saved model in the same way as its job does at the end.

Prints evaluation.json. `baton evaluate` calls it with the job's model and spec.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import zipfile
from pathlib import Path

from baton.domain.catalog import MAX_PIXELS
from baton.domain.data_sources import SETTING, DataSources
from baton.domain.errors import BatonError, JobFailure
from baton.domain.evaluation import EvaluatedModel, Evaluation, KerasFile
from baton.domain.spec import JobSpec, parse_classifier
from baton.system.caches import default_cache
from baton.system.cpus import cpus
from worker.extensions import installed
from worker.training.environment import configure

FAILED = 1


def evaluate(spec: JobSpec, model: Path, asked: EvaluatedModel, cache: Path) -> Evaluation:
    """The numbers of a job's final evaluation, for a .keras file of the spec's network.

    Raises:
        JobFailure: bad_data, if the data set is bad, or if the file is not a model or is a model of another network.
    """
    from worker.training.data import RemoteData, load_images
    from worker.training.output.evaluate_split import evaluate_splits, make_evaluation
    from worker.training.step.engine import Engine
    from worker.training.step.evaluation_batches import EvaluationBatches

    remote = RemoteData(cache, sources=DataSources.parse(os.environ.get(SETTING, "")))
    data = load_images(spec.dataset, size=asked.image_size, cache=cache, seed=spec.seed, remote=remote)
    outputs = spec.network.classes or len(data.class_names)
    engine = Engine(spec, outputs)
    _load(engine, model)
    sets = evaluate_splits(engine, data, lambda: None, EvaluationBatches(spec), asked.stage or len(spec.stages))
    made = make_evaluation(spec, asked, data.class_names, outputs, sets)
    return made.model_copy(update={"keras": _written_by(model)})


def _written_by(file: Path) -> KerasFile | None:
    """The version of Keras that wrote the file; None if the file does not contain it."""
    try:
        with zipfile.ZipFile(file) as members:
            return KerasFile(written_by=str(json.loads(members.read("metadata.json"))["keras_version"]))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None


def _load(engine: object, file: Path) -> None:
    import keras

    network: keras.Model = engine.network  # type: ignore[attr-defined]
    try:
        saved = keras.models.load_model(file, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError) as error:
        raise JobFailure("bad_data", f"{file.name}: cannot be read as a Keras model: {error}") from error
    ours, theirs = ([tuple(v.shape) for v in n.variables] for n in (network, saved))
    if ours != theirs:
        raise JobFailure("bad_data", f"{file.name}: is of another network than the spec describes")
    network.set_weights(saved.get_weights())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.training.evaluate", description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="the job's spec as JSON")
    parser.add_argument("--model", type=Path, required=True, help="a .keras file")
    parser.add_argument("--stage", type=int, help="the model's stage, counted from 1; default: the last")
    parser.add_argument("--epoch", type=int, help="the model's epoch, counted from 1 over the whole job")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="the directory for decoded images")
    parser.add_argument("--threads", type=int, default=cpus())
    limit = int(os.environ.get("BATON_MAX_PIXELS", MAX_PIXELS))
    parser.add_argument("--max-pixels", type=int, default=limit, help="the most pixels of an image of the data set")
    return parser.parse_args()


def _about(given: argparse.Namespace, spec: JobSpec) -> EvaluatedModel:
    from worker.training.output.evaluate_split import evaluation_size

    size = evaluation_size(spec, min(given.stage or len(spec.stages), len(spec.stages)))
    return EvaluatedModel(role=given.model.stem, stage=given.stage, epoch=given.epoch, image_size=size)


def _main() -> int:
    given = _arguments()
    configure(given.threads)
    from worker.training.data.decode import limit_pixels

    limit_pixels(given.max_pixels)
    try:
        spec = parse_classifier(json.loads(given.spec.read_text(encoding="utf-8")), installed())
        print(evaluate(spec, given.model, _about(given, spec), given.cache).model_dump_json())
    except BatonError as error:
        print(error, file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(_main())
