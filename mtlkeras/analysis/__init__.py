"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.attention import attention_weights
from mtlkeras.analysis.gates import gates

__all__ = ["attention_weights", "gates"]
