"""What a run is by default."""

from metalib.networks.config import TrainConfig


def test_defaults_are_the_scale_of_the_paper_and_the_optimiser_of_its_code():
    config = TrainConfig()
    assert (config.size, config.epochs, config.batch, config.width) == (256, 100, 32, 64)
    assert (config.lr, config.momentum, config.weight_decay) == (0.05, 0.9, 1e-3)
    assert (config.schedule, config.lr_step_epochs, config.lr_factor) == ("step", 20, 0.1)
