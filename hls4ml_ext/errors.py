"""The exceptions of hls4ml-ext. Each message names the layer, the value and the remedy."""


class ExtError(ValueError):
    """Base class of everything hls4ml-ext refuses."""


class ConversionError(ExtError):
    """A layer, or the way layers are connected, has no exact hardware.

    Args:
        layer: Name of the layer.
        problem: What is wrong, with the offending value.
        remedy: What to change.
    """

    def __init__(self, layer: str, problem: str, remedy: str):
        self.layer, self.problem, self.remedy = layer, problem, remedy
        super().__init__(f"layer '{layer}': {problem}. {remedy}")


class PrecisionError(ConversionError):
    """A sum needs more bits than the Keras model's floating-point numbers hold exactly."""


class ProjectError(ExtError):
    """A project directory, a project file or a tool on this machine is not usable as asked."""
