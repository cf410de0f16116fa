"""Studies that take a second, as text: what they have in common."""

import tomli_w

TRAINING = {
    "batch_size": 4,
    "unroll": 20,
    "epochs": 1,
    "updates_per_epoch": 5,
    "valid_characters": 200,
    "test_characters": 200,
}


def small_study(*, training=(), space=(), **says):
    """A study of two members on this machine, of what it says itself."""
    return tomli_w.dumps(
        {
            "members": 2,
            "runner": "local",
            **says,
            "training": TRAINING | dict(training),
            "space": {"learning_rate": 0.01} | dict(space),
        }
    )
