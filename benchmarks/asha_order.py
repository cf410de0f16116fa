"""Ray's ASHA decides by what arrived first: the same learning curves, other orders of arrival.

    python benchmarks/asha_order.py

64 made-up learning curves of 27 epochs, rungs at 1, 3 and 9 (reduction factor 3), reported to
`AsyncHyperBandScheduler` in 20 orders, as 20 different timings of workers would. Prints how many
curves reach the end in every order, and how many in some but not in others.
"""

import numpy as np
from ray.tune.schedulers.async_hyperband import _Bracket

CURVES, EPOCHS, ORDERS = 64, 27, 20


def survivors(losses, order):
    bracket = _Bracket(min_t=1, max_t=EPOCHS, reduction_factor=3, s=0)
    alive, epoch = list(order), {n: 0 for n in order}

    class Trial:
        def __init__(self, number):
            self.trial_id = str(number)

    done = set()
    rng = np.random.default_rng(sum((k + 1) * n for k, n in enumerate(order)))
    while alive:  # eight workers, one of which reports next
        place = int(rng.integers(min(8, len(alive))))
        number = alive[place]
        epoch[number] += 1
        action = bracket.on_result(Trial(number), epoch[number], -losses[number, epoch[number] - 1])
        if epoch[number] == EPOCHS:
            done.add(number)
            alive.pop(place)
        elif action == "STOP":
            alive.pop(place)
    return done


def main():
    rng = np.random.default_rng(1)
    end, start, rate = (
        rng.uniform(1, 2, CURVES),
        rng.uniform(2, 3, CURVES),
        rng.uniform(2, 8, CURVES),
    )
    epochs = np.arange(1, EPOCHS + 1)
    losses = end[:, None] + (start - end)[:, None] * np.exp(-epochs / rate[:, None])
    found = [survivors(losses, rng.permutation(CURVES).tolist()) for _ in range(ORDERS)]
    always, ever = set.intersection(*found), set.union(*found)
    best = int(np.argmin(losses[:, -1]))
    print(
        f"{CURVES} curves, {ORDERS} orders: {min(map(len, found))} to {max(map(len, found))} finish"
    )
    print(f"in every order: {len(always)}; in some but not all: {len(ever - always)}")
    print(f"the best curve finishes in {sum(best in f for f in found)} of {ORDERS} orders")


if __name__ == "__main__":
    main()
