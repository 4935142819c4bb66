import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

from metalib import diagram, style


@pytest.mark.parametrize("count", [2, 5])
def test_a_diagram_has_a_picture_a_stage_and_an_arrow_between_each_and_one_back(count, rng):
    stages = [(f"stage {number}", f"step {number}", rng.random((8, 8))) for number in range(count)]
    figure = diagram.igtt(stages, "way back")
    assert [ax.get_title() for ax in figure.axes] == [title for title, _, _ in stages]
    for ax, (_, _, shown) in zip(figure.axes, stages, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), shown)
    # A step is what leads to a stage; the first is led to by the way back.
    assert [text.get_text() for text in figure.texts] == [*(f"step {number}" for number in range(1, count)), "way back"]
    assert len([artist for artist in figure.artists if isinstance(artist, FancyArrowPatch)]) == count
    style.plt.close(figure)
