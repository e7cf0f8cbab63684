"""What `baton.torch` does with objects of all kinds. Each case gets an empty folder. It needs PyTorch."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

import baton
import baton.program.start
import baton.torch
from baton.adapters.state_files import read_tree, write_tree
from baton.program.errors import Stopped
from baton.torch.objects import set_and_verify, state_of
from baton.torch.random_states import random_states, set_random_states
from baton.torch.tensors import from_host, to_host
from tests.support.cuts import STOP, Cut, cutting, kill_in_process
from tests.support.raised import raised


def through(folder: Path, tree: Any) -> Any:
    write_tree(folder, "tree", tree)
    return read_tree(folder, "tree")


def moved(folder: Path, one: Any, other: Any) -> None:
    """Read the state of one object, write it to files, and set it to another object."""
    set_and_verify("it", state_of("it", other), through(folder, state_of("it", one).read()))


def stepped(parameters: Any, kind: Any = torch.optim.Adam, steps: int = 2, **options: Any) -> Any:
    """An optimizer after some steps."""
    parameters = list(parameters)
    optimizer = kind(parameters, **options)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return optimizer


def same(one: Any, other: Any) -> bool:
    return bool(one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other))


def case_tensors_of_all_types_come_back(folder: Path) -> None:
    names = ["bool", "uint8", "int64", "float16", "bfloat16", "float64", "complex64", "float8_e4m3fn", "float8_e5m2"]
    for name in names:
        dtype = getattr(torch, name, None)
        if dtype is None:
            continue
        for shape in ((), (0, 2), (2, 3)):
            tensor = torch.randn(shape).to(dtype)
            found = from_host(through(folder, to_host(tensor, "x")), None, "x")
            assert (found.dtype, found.shape) == (dtype, tensor.shape)
            bits = torch.uint8 if tensor.element_size() == 1 and name != "bool" else dtype
            assert torch.equal(found.view(bits) if tensor.ndim else found, tensor.view(bits) if tensor.ndim else tensor)


def case_views_and_layouts_come_back(folder: Path) -> None:
    image = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    found = from_host(through(folder, to_host(image, "x")), None, "x")
    assert found.stride() == image.stride() and torch.equal(found, image)
    large = torch.randn(1000)
    for view in (large[::7], large[:5].expand(3, 5), torch.randn(3, 2, dtype=torch.complex64).conj(), large[:4].T):
        assert torch.equal(from_host(through(folder, to_host(view, "x")), None, "x"), view)


def case_a_copy_does_not_change_with_the_tensor(folder: Path) -> None:
    tensor, array = torch.zeros(2), np.zeros(2)
    copied = to_host({"t": tensor, "a": array}, "x")
    tensor += 1
    array += 1
    assert copied["t"]["$tensor"].tolist() == copied["a"].tolist() == [0, 0]
    made = from_host(copied, None, "x")
    made["t"] += 1
    assert copied["t"]["$tensor"].tolist() == [0, 0]


def case_what_cannot_be_saved_is_named(folder: Path) -> None:
    quantized = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    lazy = nn.LazyLinear(2)

    class Special(torch.Tensor):  # type: ignore[misc]
        pass

    for value, words in (
        (quantized, "x.0 is a quantized tensor"),
        (torch.eye(2).to_sparse(), "x.0 is a tensor of the layout torch.sparse_coo"),
        (torch.empty(2, device="meta"), "x.0 is on the device `meta`"),
        (lazy.weight, "x.0 has no shape yet"),
        (torch.ones(2).as_subclass(Special), "x.0 is a .*Special"),
        ({1, 2}, "x.0 has the type set"),
        (nn.Linear(1, 1), "x.0 has the type Linear"),
    ):
        raised(words, to_host, [value], "x")


def case_shared_parameters_stay_shared(folder: Path) -> None:
    class Tied(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embedding.weight

    one, other = Tied(), Tied()
    moved(folder, one, other)
    assert other.head.weight is other.embedding.weight
    assert torch.equal(one.head.weight, other.head.weight)


def case_modes_and_frozen_parameters_belong_to_a_model(folder: Path) -> None:
    one, other = (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(2))
    one[1].eval()
    one[0].weight.requires_grad_(False)
    other[0].bias.requires_grad_(False)
    moved(folder, one, other)
    assert [module.training for module in other.modules()] == [True, True, False]
    assert [name for name, value in other.named_parameters() if not value.requires_grad] == ["0.weight"]


def case_wrappers_do_not_change_the_names(folder: Path) -> None:
    plain = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    kinds = [nn.DataParallel]
    if hasattr(torch, "compile") and torch.__version__ > "2.1":
        kinds += [lambda model: torch.compile(model, backend="eager")]

        def inside(model: Any) -> Any:
            model[0] = torch.compile(model[0], backend="eager")
            return nn.DataParallel(model)

        kinds.append(inside)
    for wrapped in kinds:
        other = wrapped(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        moved(folder, plain, other)
        moved(folder, other, plain)
        x = torch.randn(4, 2)
        assert torch.equal(plain(x), other(x))


def case_what_does_not_fit_a_model_is_named(folder: Path) -> None:
    saved = state_of("model", nn.Linear(2, 3)).read()
    for model, words in (
        (nn.Linear(2, 4), r"model.weight has the shape \(4, 2\), and \(3, 2\) in the save. Build the model"),
        (nn.Linear(2, 3).double(), "model.weight has the type float64, and float32 in the save"),
        (nn.Linear(2, 3, bias=False), "model.bias is in the save, and the model has no such name"),
        (nn.Sequential(nn.Linear(2, 3)), "model.weight is in the save"),
    ):
        raised(words, state_of("model", model).set, saved)
    raised(
        "model.bias is not in the save",
        state_of("model", nn.Linear(2, 3)).set,
        state_of("m", nn.Linear(2, 3, False)).read(),
    )


def case_an_optimizer_continues(folder: Path) -> None:
    kinds = [
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (torch.optim.RMSprop, {"centered": True}),
        (torch.optim.Adagrad, {}),
        (torch.optim.RAdam, {}),
    ]
    for kind, options in kinds:
        one, other = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)) for _ in range(2))
        optimizer = stepped(one.parameters(), kind, **options)
        fresh = kind(other.parameters(), **options)
        moved(folder, one, other)
        moved(folder, optimizer, fresh)
        for model, now in ((one, optimizer), (other, fresh)):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, 0.5)
            now.step()
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True)), kind


def case_lbfgs_with_lists_in_its_state_continues(folder: Path) -> None:
    models = [nn.Linear(2, 1, bias=False) for _ in range(2)]
    x = torch.randn(8, 2)

    def step(model: Any, optimizer: Any) -> None:
        def closure() -> Any:
            optimizer.zero_grad()
            loss = (model(x) - x.sum(1, keepdim=True)).pow(2).mean()
            loss.backward()
            return loss

        optimizer.step(closure)

    optimizers = [torch.optim.LBFGS(model.parameters(), max_iter=2) for model in models]
    step(models[0], optimizers[0])
    moved(folder, models[0], models[1])
    moved(folder, optimizers[0], optimizers[1])
    for model, optimizer in zip(models, optimizers, strict=True):
        step(model, optimizer)
    assert torch.equal(models[0].weight, models[1].weight)


def case_the_state_of_an_optimizer_keeps_types_and_layouts(folder: Path) -> None:
    half = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    optimizer = torch.optim.SGD([half], lr=0.1)
    optimizer.state[half]["master"] = torch.tensor([1.0, 1.0 + 2**-20, 3.0])
    again = torch.optim.SGD([half], lr=0.1)
    moved(folder, optimizer, again)
    assert same(again.state[half]["master"], optimizer.state[half]["master"])

    image = nn.Parameter(torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last))
    one, other = stepped([image]), torch.optim.Adam([image])
    moved(folder, one, other)
    assert other.state[image]["exp_avg"].stride() == image.stride()


def case_groups_that_are_missing_are_named(folder: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    saved = state_of("optimizer", optimizer).read()
    optimizer.add_param_group({"params": model[1].parameters()})
    two = state_of("optimizer", optimizer).read()
    fresh = torch.optim.SGD(model[0].parameters(), lr=0.1)
    raised(
        "optimizer has 1 groups of parameters, and 2 in the save. Call add_param", state_of("optimizer", fresh).set, two
    )
    other = torch.optim.SGD(model.parameters(), lr=0.1)
    raised(r"optimizer.param_groups.0 has 4 parameters, and 2", state_of("optimizer", other).set, saved)


def case_gradients_that_are_not_used_yet_are_kept(folder: Path) -> None:
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer, again = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (model, other))
    state = state_of("optimizer", optimizer)
    assert state.read()["gradients"] == {}
    model(torch.ones(1, 2)).sum().backward()
    state_of("optimizer", again).set(through(folder, state.read()))
    assert torch.equal(model.weight.grad, other.weight.grad)
    if not hasattr(optimizer, "register_step_post_hook"):
        return
    optimizer.step()
    kept = state.read()["gradients"]
    assert kept == {0: None, 1: None}
    state_of("optimizer", again).set(through(folder, state.read()))
    assert other.weight.grad.eq(0).all()
    optimizer.zero_grad(set_to_none=True)
    state_of("optimizer", again).set(through(folder, state.read()))
    assert other.weight.grad is None


def case_schedules_continue(folder: Path) -> None:
    def chained(optimizer: Any) -> Any:
        parts = [lr_scheduler.ConstantLR(optimizer, 0.5, 2), lr_scheduler.ExponentialLR(optimizer, 0.9)]
        return lr_scheduler.SequentialLR(optimizer, parts, [2])

    kinds = [
        lambda one: lr_scheduler.OneCycleLR(one, 0.1, total_steps=20),
        lambda one: lr_scheduler.CyclicLR(one, 0.1, 0.2, 3),
        lambda one: lr_scheduler.MultiStepLR(one, [2, 4, 4]),
        lambda one: lr_scheduler.LambdaLR(one, lambda step: 1 / (step + 1)),
        lambda one: lr_scheduler.CosineAnnealingWarmRestarts(one, 3),
        chained,
    ]
    for kind in kinds:
        rates = []
        optimizer = stepped([nn.Parameter(torch.ones(2))], torch.optim.SGD, lr=0.3, momentum=0.9)
        schedule = kind(optimizer)
        for _ in range(3):
            schedule.step()
        fresh = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.3, momentum=0.9)
        again = kind(fresh)
        moved(folder, optimizer, fresh)
        moved(folder, schedule, again)
        for one, now in ((optimizer, schedule), (fresh, again)):
            found = []
            for _ in range(5):
                now.step()
                found.append((one.param_groups[0]["lr"], one.param_groups[0]["momentum"]))
            rates.append(found)
        assert rates[0] == rates[1], type(schedule)
    multi = lr_scheduler.MultiStepLR(optimizer, [2])
    moved(folder, multi, multi)
    assert type(multi.milestones).__name__ == "Counter"


def case_a_plateau_continues(folder: Path) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.3)
    one, other = (lr_scheduler.ReduceLROnPlateau(optimizer, patience=1) for _ in range(2))
    for _ in range(3):
        one.step(1.0)
    moved(folder, one, other)
    assert (other.num_bad_epochs, other.best) == (one.num_bad_epochs, 1.0)


def case_a_scaler_continues(folder: Path) -> None:
    if hasattr(torch.amp, "GradScaler"):
        one, other = (torch.amp.GradScaler("cpu", init_scale=8.0) for _ in range(2))
        one.scale(torch.ones(1))
        one.update(4.0)
        moved(folder, one, other)
        assert other.get_scale() == 4.0
    off = torch.cuda.amp.GradScaler(enabled=False)
    moved(folder, off, torch.cuda.amp.GradScaler(enabled=False))


def case_an_average_continues(folder: Path) -> None:
    model = nn.Linear(2, 2)
    one, other = AveragedModel(model), AveragedModel(nn.Linear(2, 2))
    one.update_parameters(model)
    moved(folder, one, other)
    assert other.n_averaged == 1 and torch.equal(other.module.weight, model.weight)


def case_a_dictionary_is_changed_in_place(folder: Path) -> None:
    weight = torch.zeros(2)
    one = {"w": torch.ones(2), "best": float("inf"), "late": torch.ones(3, dtype=torch.bfloat16), "names": ["a"]}
    other: dict[str, Any] = {"w": weight, "best": 1.0, "gone": 2}
    moved(folder, one, other)
    assert other["w"] is weight and weight.tolist() == [1, 1]
    assert (other["best"], other["names"], sorted(other)) == (float("inf"), ["a"], ["best", "late", "names", "w"])
    assert other["late"].dtype == torch.bfloat16
    raised(
        r"it.w is float32 of the shape \(3,\), and was float32 of the shape \(2,\)",
        moved,
        folder,
        one,
        {"w": torch.ones(3)},
    )


def case_generators_continue(folder: Path) -> None:
    makers = [
        (lambda: torch.Generator().manual_seed(3), lambda one: torch.rand(2, generator=one).tolist()),
        (lambda: np.random.default_rng(3), lambda one: one.normal(size=2).tolist()),
        (lambda: np.random.Generator(np.random.MT19937(3)), lambda one: one.normal(size=2).tolist()),
        (lambda: np.random.RandomState(3), lambda one: one.normal(size=3).tolist()),
        (lambda: random.Random(3), lambda one: [one.gauss(0, 1), one.random()]),
    ]
    for make, draw in makers:
        one, other = make(), make()
        draw(one)
        moved(folder, one, other)
        assert draw(one) == draw(other)


def case_an_object_that_forgets_is_told(folder: Path) -> None:
    class Forgets:
        def __init__(self, value: int) -> None:
            self.value = value

        def state_dict(self) -> dict[str, Any]:
            return {"value": self.value, "w": torch.full((2,), self.value)}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.value = state["value"] + 1

    raised(
        "it.value is 2 instead of 1 after its state was set: its class does not restore",
        moved,
        folder,
        Forgets(1),
        Forgets(0),
    )
    raised("track: it is a int, which has neither", state_of, "it", 3)


def case_the_generators_of_the_process_continue(folder: Path) -> None:
    states = through(folder, random_states())
    drawn = random.random(), np.random.rand(), torch.rand(1)
    set_random_states(states)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1))


def case_the_generators_of_cuda_continue_with_a_fake(folder: Path) -> None:
    devices = [torch.full((16,), device, dtype=torch.uint8) for device in range(2)]
    names = ("is_initialized", "is_available", "device_count", "get_rng_state_all", "set_rng_state")
    real = {name: getattr(torch.cuda, name) for name in names}

    def set_state(state: Any, device: int) -> None:
        devices[device] = state

    fake = (lambda: True, lambda: True, lambda: 2, lambda: list(devices), set_state)
    try:
        for name, value in zip(names, fake, strict=True):
            setattr(torch.cuda, name, value)
        states = through(folder, random_states())
        devices[:] = [torch.zeros(16, dtype=torch.uint8)] * 2
        set_random_states(states)
        assert [int(one[0]) for one in devices] == [0, 1]
        torch.cuda.device_count = lambda: 1
        devices[:] = [torch.ones(16, dtype=torch.uint8)]
        set_random_states(states)  # the second device is gone
        assert int(devices[0][0]) == 0
    finally:
        for name, value in real.items():
            setattr(torch.cuda, name, value)


def case_track_names_what_differs(folder: Path) -> None:
    def begun(**objects: Any) -> Any:
        with baton.init(folder / "run") as run:
            return baton.torch.track(run, **objects)

    def trained() -> None:
        for _ in begun(model=nn.Linear(1, 1)).steps(1):
            pass

    with baton.init(folder / "run") as run:
        for _ in baton.torch.track(run, model=nn.Linear(1, 1)).steps(1):
            pass
        raised("track: it was called before for this run", baton.torch.track, run, model=nn.Linear(1, 1))
    raised("track: network is not in the save", begun, model=nn.Linear(1, 1), network=nn.Linear(1, 1))
    raised("track: model is in the save, and track has no such object", begun)
    raised(r"model.weight has the shape \(1, 2\), and \(1, 1\) in the save", begun, model=nn.Linear(2, 1))


def case_the_first_script_of_the_page_continues(folder: Path) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/pytorch.md"
    script = page.read_text().split("```python\n")[1].split("```\n")[0]

    def run(name: str, cut: Cut) -> None:
        with patch.dict(os.environ, {"BATON_RUN_DIR": str(folder / name)}), cutting(cut, kill_in_process):
            exec(compile(script, str(page), "exec"), {"__name__": "__main__"})
        current = baton.program.start.current_run()
        assert current is not None
        current.close()

    never = Cut("", 0, ())
    run("whole", never)
    try:
        run("stopped", Cut(STOP, 17, ()))
        raise AssertionError("it was not stopped")
    except Stopped:
        pass
    run("stopped", never)
    for file in ("series.csv", "history.csv"):
        assert (folder / "stopped" / file).read_bytes() == (folder / "whole" / file).read_bytes()
