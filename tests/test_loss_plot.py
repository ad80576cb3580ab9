"""Tables of losses become pictures; what is no such table is refused."""

import cv2
import numpy as np
import pytest

from backend.errors import InputError
from backend.training.loss_plot import plot_losses, read_losses


def test_a_run_is_drawn(tmp_path):
    table = tmp_path / "speech.losses.csv"
    table.write_text("step,shape,phone\n50,2.0,1.0\n100,1.0,0.5\n150,0.5,0.25\n")
    steps, losses = read_losses(table)
    assert steps.tolist() == [50, 100, 150]
    assert losses["phone"].tolist() == [1.0, 0.5, 0.25]
    plot_losses([table, table], tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))
    assert picture.shape[1] > 2.5 * picture.shape[0], "two runs stand side by side"
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("text", ["", "time,shape\n1,2\n", "step,shape\n1,many\n", "step,shape\n"])
def test_other_tables_are_refused(tmp_path, text):
    table = tmp_path / "run.losses.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=r"losses\.csv"):
        read_losses(table)
    with pytest.raises(InputError, match=r"\.png or \.svg"):
        plot_losses([table], tmp_path / "curves.txt")
