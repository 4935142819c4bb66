"""What the tests of runs share."""

import pytest

from metalib.runs import sweeps


@pytest.fixture
def computed(monkeypatch):
    """Sweeps compute in this process, one run after the other; the configurations that they computed, in order."""
    done = []

    def compute(todo, pool, limit_s):
        for key, config in todo.items():
            sweeps.store(key, sweeps._train(config, key))
            done.append(config)

    monkeypatch.setattr(sweeps, "_compute", compute)
    return done
