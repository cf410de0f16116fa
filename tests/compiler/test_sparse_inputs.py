"""Inputs that are nearly all zeros are listed by the native backend; that changes no number."""

import pytest
import torch

import odyssey

SIZES = [  # steps, batch rows, inputs, units: below and above what is listed at a time
    pytest.param(70, 4, 88, 40, id="music"),
    pytest.param(5, 3, 16, 7, id="few rows"),
    pytest.param(30, 5, 530, 20, id="more columns than gradients are listed for"),
]


def drawn(steps: int, rows: int, inputs: int, *, share: float, seed: int = 3) -> torch.Tensor:
    """Draws normal numbers, of which so many are not zero; some rows are zeros alone."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, rows, inputs, generator=rng, dtype=torch.float64)
    x[torch.rand(x.shape, generator=rng) >= share] = 0
    x[-2:, 0] = 0
    return x


def run(layer: odyssey.RNN, x: torch.Tensor, weights: torch.Tensor):
    """Gives the outputs and the gradients of all parameters."""
    layer.zero_grad()
    y = layer(x)[0]
    (y * weights).sum().backward()
    return y.detach(), [p.grad for p in layer.parameters()]


def twins(inputs: int, units: int, dtype=torch.float64):
    native, eager = (
        odyssey.RNN(odyssey.get_cell("gru"), inputs, units, num_layers=2, backend=backend).to(dtype)
        for backend in ("native", "eager")
    )
    eager.load_state_dict(native.state_dict())
    return native, eager


@pytest.mark.parametrize("share", [0, 0.04, 0.11, 0.5])
@pytest.mark.parametrize(("steps", "rows", "inputs", "units"), SIZES)
def test_outputs_and_gradients_are_those_of_eager(steps, rows, inputs, units, share):
    x = drawn(steps, rows, inputs, share=share)
    weights = drawn(steps, rows, units, share=1)
    native, eager = twins(inputs, units)
    (y, gradients), (wanted, others) = run(native, x, weights), run(eager, x, weights)
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)
    for got, right in zip(gradients, others, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_bit_depends_on_whether_inputs_are_listed(dtype):
    # beside rows of zeros they are listed, beside full ones multiplied out
    x = drawn(70, 4, 88, share=0.05).to(dtype)
    full = drawn(70, 4, 88, share=1, seed=4).to(dtype)
    weights = drawn(70, 8, 40, share=1).to(dtype)
    weights[:, 4:] = 0
    native, _ = twins(88, 40, dtype)
    y, gradients = run(native, torch.cat([x, torch.zeros_like(full)], 1), weights)
    beside, others = run(native, torch.cat([x, full], 1), weights)
    assert torch.equal(y[:, :4], beside[:, :4])
    for got, right in zip(gradients, others, strict=True):
        assert torch.equal(got, right)


def test_numbers_that_are_not_finite_are_not_left_out():
    x = drawn(70, 4, 88, share=0.05)
    x[3, 1, 5], x[40, 2, 87] = float("nan"), float("inf")
    native, eager = twins(88, 40)
    assert torch.equal(native(x)[0].isnan(), eager(x)[0].isnan())


def test_the_last_columns_of_narrow_layers():
    for units in (1, 3, 17, 33):
        native, eager = twins(20, units)
        x, weights = drawn(40, 3, 20, share=0.06), drawn(40, 3, units, share=1)
        (y, gradients), (wanted, others) = run(native, x, weights), run(eager, x, weights)
        torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)
        for got, right in zip(gradients, others, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-10, atol=1e-11)


def test_numbers_that_the_processor_takes_for_zero_are_not_listed():
    x = torch.full((128, 1, 400), 1e-40)  # subnormal, and more than there is room for
    native, _ = twins(400, 20, torch.float32)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor computes with subnormal numbers")
    try:
        weights = torch.ones(128, 1, 20)
        y, gradients = run(native, x, weights)
        zeros, others = run(native, torch.zeros_like(x), weights)
    finally:
        torch.set_flush_denormal(False)
    assert torch.equal(y, zeros)
    assert all(torch.equal(got, right) for got, right in zip(gradients, others, strict=True))
