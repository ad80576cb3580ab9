"""What pocketsphinx's acoustic model makes of each moment: evidence from many real voices for the speech network.

The speech network learned from the few voices of its corpus; these mixtures learned from thousands of people. They know
nothing of context, which is the network's part.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..audio.sphinx_features import with_differences
from ..audio.sphinx_model import sphinx_model

N_EVIDENCE = 42  # phones of its alphabet, silence and noises among them
EVERY = 2  # feature frames per network frame
SCALE, OFFSET = 0.5, 2.0  # log probabilities times and plus these are about -2 to 2


@lru_cache(maxsize=1)
def _mixtures():
    """The mixtures as a torch module."""
    import torch

    from ..models.phone_mixtures import PhoneMixtures

    model = sphinx_model()
    return PhoneMixtures(
        *(torch.from_numpy(np.ascontiguousarray(a)) for a in (model.means, model.variances, model.log_weights))
    )


def phone_evidence(cepstra: np.ndarray) -> np.ndarray:
    """Scaled log probabilities (n / 2 rounded up, 42) float32 at 50 Hz of cepstra (n, 13) by sphinx_cepstra."""
    import torch

    with torch.inference_mode():
        streams = torch.from_numpy(with_differences(cepstra, EVERY))
        return (SCALE * _mixtures()(streams) + OFFSET).numpy()
