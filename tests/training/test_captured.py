"""What is captured and when: forms of inputs, what is timed, and what happens where it fails.

The device is one that records what is called and replays it; the clock is the test's. Whole
trainings of it are in `test_ahead.py`, those of a GPU in `test_gpu.py`.
"""

import pytest
import torch
from support.recorded import Recorded

from odyssey.training.captured import MOST_FORMS, TIMED, WARM_UP, CapturedSteps


class Counter:
    """An update that adds its input to a weight in place, and gives the weight."""

    def __init__(self):
        self.weight = torch.zeros(2)

    def __call__(self, tensors):
        x, bias = tensors
        self.weight += x.sum() if bias is None else x.sum() + bias
        return [self.weight * 1]


def run(device, updates):
    step, steps = Counter(), CapturedSteps(device)
    found = []
    for k in range(updates):
        (out,) = steps([torch.full((3,), float(k)), None], step)
        found.append(out)
    return steps, found


def test_a_replay_gives_what_updates_give_as_they_are():
    device = Recorded()
    _, found = run(device, 20)
    want = [3.0 * sum(range(k + 1)) for k in range(20)]
    assert [float(out[0]) for out in found] == want  # and no later update has changed them
    assert device.calls[: WARM_UP + TIMED + 1] == ["plain"] * (WARM_UP + TIMED) + ["record"]
    assert device.calls[WARM_UP + TIMED + 1 :] == ["replay"] * (20 - WARM_UP - TIMED)


def test_what_is_slower_replayed_goes_on_as_it_is():
    device = Recorded(replayed=2.0)
    steps, found = run(device, 20)
    assert device.calls.count("replay") == TIMED
    assert float(found[-1][0]) == 3.0 * sum(range(20))
    (form,) = steps.forms.values()
    assert form.settled
    assert form.replay is None
    assert not form.inputs


def test_what_cannot_be_captured_goes_on_as_it_is_and_is_told_once(capsys):
    device = Recorded(fails=True)
    _, found = run(device, 20)
    assert device.calls.count("record") == 1
    assert float(found[-1][0]) == 3.0 * sum(range(20))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "not captured as a CUDA graph: operation not permitted" in said


def test_another_error_is_nobodys_to_hide():
    class Broken(Recorded):
        def record(self, run):
            raise ValueError("a mistake of ours")

    with pytest.raises(ValueError, match="mistake"):
        run(Broken(), 20)


def test_every_form_of_inputs_is_captured_on_its_own():
    device, step = Recorded(), Counter()
    steps = CapturedSteps(device)
    forms = [
        [torch.ones(3), None],
        [torch.ones(4), None],
        [torch.ones(3, dtype=torch.float64), None],
        [torch.ones(3), torch.ones(())],
    ]
    for _ in range(WARM_UP + TIMED + 1):
        for form in forms:
            steps(form, step)
    assert len(steps.forms) == len(forms)
    assert device.calls.count("record") == len(forms)


def test_only_so_many_forms_are_captured():
    device, step = Recorded(), Counter()
    steps = CapturedSteps(device)
    for size in range(1, MOST_FORMS + 5):
        steps([torch.ones(size), None], step)
    assert len(steps.forms) == MOST_FORMS
    assert device.calls.count("plain") == MOST_FORMS
    assert float(step.weight[0]) == sum(range(1, MOST_FORMS + 5))
