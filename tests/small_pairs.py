"""Pairs of labels and training that follow a model of learnability, and the page of those that are recorded."""

from metalib.diagnosis import learnability
from metalib.diagnosis.learnability import Model, Pair
from metalib.runs import results

TRUE = Model(e0=800.0, a=0.7, b=2.2, error={})


def made(count, rng, noise=0.0, fit=False):
    """Pairs that follow TRUE, but for noise."""
    effective, bias = 10 ** rng.uniform(1, 6, count), rng.uniform(0, 0.7, count)
    trained = TRUE.predict(effective, bias) + noise * rng.normal(size=count)
    about = dict(notebook="", name="", data="x", recipe="rcl_flip:0.2", model="unet", classes=2, images=9, fit=fit)
    return [
        Pair(
            **about,
            **dict(trained=float(t), spread=0.0, seeds=3, alone=float(e), effective=float(e), bias=float(b)),
            **dict(argmax_score=1.0, wrong=0.2, flipped=0.2, found=0.2 + 1e-6 * place, low=0.19, high=0.21),
        )
        for place, (t, e, b) in enumerate(zip(trained, effective, bias, strict=True))
    ]


def page(data=""):
    return results.page(learnability.NOTEBOOK, "quick", data, "record")
