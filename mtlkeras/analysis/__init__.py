"""What a trained model can tell about itself and its tasks."""

from mtlkeras.analysis.attention import attention_weights

__all__ = ["attention_weights"]
