"""Memory before training: what a configuration will hold on a device, part by part, from its architecture. Light."""

from harness.models.memory.prediction import Prediction, predict, predict_forwarded

__all__ = ["Prediction", "predict", "predict_forwarded"]
