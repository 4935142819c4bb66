"""A network of iGTT in its file: it comes back as it was, and other files are named."""

import json
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch
from small_igtt import IMAGES, SMALL

from metalib.unsupervised import igtt, weights
from metalib.unsupervised.config import preset


@pytest.fixture(scope="module")
def trained():
    config = preset("improved", **SMALL)
    return *igtt.fit(IMAGES, config), config


def test_a_network_survives_its_file(trained, tmp_path):
    model, _, config = trained
    path = tmp_path / "folder" / "network.safetensors"
    weights.save(model, path)
    loaded = weights.load(path)
    assert loaded.config == config
    assert loaded.choice == model.choice is not None
    assert not loaded.network.training
    np.testing.assert_allclose(igtt.predict(loaded, IMAGES), igtt.predict(model, IMAGES), atol=1e-6)
    trained_state = model.network.state_dict()
    assert all(torch.equal(value, trained_state[name]) for name, value in loaded.network.state_dict().items())
    plain = model._replace(choice=None)
    weights.save(plain, path)
    assert weights.load(path).choice is None
    assert path.read_bytes()[8:9] == b"{"  # JSON and numbers


def test_files_of_others_are_named(tmp_path, trained):
    from safetensors.torch import save_file

    path = tmp_path / "file"

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for data in (b"", b"text", pickle.dumps(Trap())):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="is no safetensors file"):
            weights.load(path)
    assert not (tmp_path / "sprung").exists()
    torch.save(trained[0].network.state_dict(), path)
    with pytest.raises(ValueError, match="is no safetensors file"):
        weights.load(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="holds no iGTT configuration"):
        weights.load(path)
    with pytest.raises(FileNotFoundError):
        weights.load(tmp_path / "absent")


def test_a_file_of_another_version_is_named_with_its_fields(tmp_path, trained):
    from safetensors.torch import save_file

    path = tmp_path / "later.safetensors"
    about = asdict(trained[2]) | {"later": 1, "after": 2}
    save_file({"weight": torch.zeros(3)}, path, {"igtt": json.dumps(about)})
    with pytest.raises(ValueError, match=r"later\.safetensors has the unknown fields after, later: read it with"):
        weights.load(path)
