"""The native backend beside the eager one: outputs, final states and all gradients."""

import torch

import odyssey


def rnn(spec, size, hidden, *args, **more):
    return odyssey.RNN(odyssey.get_cell(spec), size, hidden, *args, **more)


def gradients(model, x, state):
    y, final = model(x, state)
    total = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum()
    total = total + sum((f**2).sum() for f in final)
    inputs = [t for t in (x, *state) if t.is_floating_point()]
    return [y, *final, *torch.autograd.grad(total, [*inputs, *model.parameters()])]


def compare(
    spec, *, size, hidden, steps, batch, population=None, classes=False, dtype=torch.float64
):
    torch.manual_seed(5)
    ours = rnn(spec, size, hidden, population=population, backend="native", dtype=dtype)
    theirs = rnn(spec, size, hidden, population=population, backend="eager", dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    lead = () if population is None else (population,)
    if classes:
        x = torch.randint(0, size, (*lead, steps, batch))
    else:
        x = torch.randn(*lead, steps, batch, size, dtype=dtype, requires_grad=True)
    state = tuple(torch.randn_like(s).mul(0.5).requires_grad_() for s in ours.start_state(batch))
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    for a, b in zip(gradients(ours, x, state), gradients(theirs, x, state), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)
