"""The Keras layer of a Neural-ODE block."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
from keras import ops

from hls4ml_ext import quantizers
from hls4ml_ext.errors import shown
from hls4ml_ext.fixed import significant_bits
from hls4ml_ext.layers.ode.solvers import SOLVERS, get_solver


@keras.saving.register_keras_serializable(package='hls4ml_ext')
class ODEBlock(keras.layers.Layer):
    """Integrates ``dz/dt = dynamics(z)`` from ``z(0) = inputs`` over `n_steps` steps of an explicit Runge-Kutta solver.

    Chen et al., "Neural Ordinary Differential Equations" (NeurIPS 2018), with a fixed step; in ResNet terms, `n_steps`
    residual blocks with one set of weights. In hardware it is one copy of the dynamics and a loop, whatever `n_steps` is.
    A step is

        z' = Q(z + sum_i round(h b_i) k_i),    k_i = dynamics(Q(z + sum_{j<i} round(h a_ij) k_j))

    where Q is the state quantizer and `round` keeps `coefficient_bits` significant bits.

    Args:
        dynamics: A Keras model (functional or Sequential), or a list of layers: (height, width, channels) to the same shape;
            with `time_channel`, it gets one more input channel. BatchNormalization inside trains; fold it with
            :func:`hls4ml_ext.fold_batchnorm` before conversion.
        n_steps: Number of steps, at least 1.
        solver: 'euler', 'midpoint', 'heun', 'rk4' or a :class:`~hls4ml_ext.layers.ode.solvers.Solver`.
        step_size: h; None is ``1 / n_steps``, which integrates to t = 1.
        state_quantizer: Quantizer of the state z: a QKeras quantizer, its string or config. None trains in float; conversion
            needs one.
        time_channel: Append t, rounded by the state quantizer, to the channels of the dynamics' input.
        coefficient_bits: Significant bits of the coefficients h*a and h*b; a coefficient of one significant bit is a shift.
            None keeps them as they are.

    Input and output shape:
        (batch, height, width, channels).

    Raises:
        ValueError: on an unknown solver, a number of steps below 1, or dynamics that change the shape.

    Example::

        dynamics = [
            QActivation('quantized_relu(8,2)'),
            QDepthwiseConv2D(3, padding='same', depthwise_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False),
            QActivation('quantized_bits(8,2,alpha=1)'),
            QConv2D(16, 1, kernel_quantizer='quantized_bits(4,0,alpha=1)', bias_quantizer='quantized_bits(8,1,alpha=1)'),
            QActivation('quantized_bits(8,2,alpha=1)'),
        ]
        z = ODEBlock(dynamics, n_steps=8, state_quantizer='quantized_bits(12,3,alpha=1)', name='ode1')(x)
    """

    def __init__(
        self,
        dynamics,
        n_steps,
        solver='euler',
        step_size=None,
        state_quantizer=None,
        time_channel=False,
        coefficient_bits=8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(n_steps, bool) or not isinstance(n_steps, (int, np.integer)) or n_steps < 1:
            raise ValueError(f'ODEBlock {self.name}: n_steps is {shown(n_steps)}. Use an integer of at least 1')
        try:
            self.solver = get_solver(solver)
        except ValueError as e:
            raise ValueError(f'ODEBlock {self.name}: {e}') from None
        if step_size is not None and not (np.isfinite(step_size) and step_size != 0):
            raise ValueError(f'ODEBlock {self.name}: step_size is {shown(step_size)}. Use a finite number other than 0')
        if coefficient_bits is not None and (not isinstance(coefficient_bits, (int, np.integer)) or coefficient_bits < 1):
            raise ValueError(
                f'ODEBlock {self.name}: coefficient_bits is {shown(coefficient_bits)}. Use an integer of at least 1, or None'
            )
        if isinstance(dynamics, (list, tuple)):
            if not dynamics:
                raise ValueError(f'ODEBlock {self.name}: dynamics is empty. Give at least one layer')
            dynamics = keras.Sequential(list(dynamics), name='dynamics')
        if not isinstance(dynamics, keras.Model):
            raise ValueError(
                f'ODEBlock {self.name}: dynamics is a {type(dynamics).__name__}. Use a Keras model or a list of layers'
            )
        self.dynamics = dynamics
        self.n_steps = int(n_steps)
        self.step_size = 1.0 / self.n_steps if step_size is None else float(step_size)
        self.state_quantizer = quantizers.resolve(state_quantizer)
        self.time_channel = bool(time_channel)
        self.coefficient_bits = coefficient_bits

    # ------------------------------------------------------------------ coefficients

    def coefficient(self, x: float) -> float:
        """``h * x``, rounded to `coefficient_bits` significant bits."""
        x = self.step_size * x
        return x if self.coefficient_bits is None else significant_bits(x, self.coefficient_bits)

    def tableau(self) -> tuple[list[list[float]], list[float]]:
        """The rounded coefficients ``h * a`` (rows of growing length) and ``h * b``."""
        return [[self.coefficient(x) for x in row] for row in self.solver.a], [self.coefficient(x) for x in self.solver.b]

    def times(self) -> np.ndarray:
        """(n_steps, n_stages) times at which the dynamics is evaluated, rounded by the state quantizer."""
        t = np.array([[self._time(n, i) for i in range(self.solver.n_stages)] for n in range(self.n_steps)])
        return ops.convert_to_numpy(self._quantize(ops.convert_to_tensor(t.astype(keras.config.floatx()))))

    def _time(self, step: int, stage: int) -> float:
        return (step + self.solver.c[stage]) * self.step_size

    # ------------------------------------------------------------------ Keras

    def build(self, input_shape):
        if len(input_shape) != 4:
            raise ValueError(
                f'ODEBlock {self.name}: its input has shape {tuple(input_shape[1:])}. Use (height, width, channels)'
            )
        shape = (*input_shape[:-1], input_shape[-1] + self.time_channel)
        if isinstance(self.dynamics, keras.Sequential) and not self.dynamics.built:
            # A Sequential model that builds itself casts its input to floatx, whatever the dtype of this layer.
            x = inputs = keras.Input(shape[1:], dtype=self.compute_dtype)
            for layer in self.dynamics.layers:
                x = layer(x)
            self.dynamics = keras.Model(inputs, x, name=self.dynamics.name)
        expects = tuple(self.dynamics.input_shape[1:])
        if expects != tuple(shape[1:]):
            time = ' (with the time channel)' if self.time_channel else ''
            raise ValueError(
                f'ODEBlock {self.name}: the dynamics takes shape {expects}, but the state{time} has {tuple(shape[1:])}. '
                'Make them equal'
            )
        gives = tuple(self.dynamics.output_shape[1:])
        if gives != tuple(input_shape[1:]):
            raise ValueError(
                f'ODEBlock {self.name}: the dynamics gives shape {gives}, but the state has {tuple(input_shape[1:])}. '
                'The slope must have the shape of the state'
            )
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def _quantize(self, z):
        return z if self.state_quantizer is None else self.state_quantizer(z)

    def _combine(self, z, coefficients, slopes):
        for x, k in zip(coefficients, slopes):
            if x:
                z = z + ops.convert_to_tensor(x, dtype=z.dtype) * k
        return self._quantize(z)

    def call(self, inputs, training=None):
        return self.integrate(inputs, lambda stage: self.dynamics(stage, training=training))

    def integrate(self, inputs, dynamics):
        """The block with a function in place of its dynamics.

        Args:
            inputs: (batch, height, width, channels).
            dynamics: Called in each evaluation with the state, time channel included; returns the slope.

        Returns:
            The state at the end, of the shape of `inputs`.
        """
        a, b = self.tableau()
        z = self._quantize(inputs)
        for n in range(self.n_steps):
            slopes = []
            for i in range(self.solver.n_stages):
                stage = self._combine(z, a[i], slopes) if any(a[i]) else z
                if self.time_channel:
                    t = ops.full_like(stage[..., :1], self._time(n, i))
                    stage = ops.concatenate([stage, self._quantize(t)], axis=-1)
                slopes.append(dynamics(stage))
            z = self._combine(z, b, slopes)
        return z

    def get_config(self):
        known = self.solver.name in SOLVERS and SOLVERS[self.solver.name] == self.solver
        return {
            **super().get_config(),
            'dynamics': keras.saving.serialize_keras_object(self.dynamics),
            'n_steps': self.n_steps,
            'solver': self.solver.name if known else asdict(self.solver),
            'step_size': self.step_size,
            'state_quantizer': quantizers.serialize(self.state_quantizer),
            'time_channel': self.time_channel,
            'coefficient_bits': self.coefficient_bits,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if isinstance(config['dynamics'], dict):
            config['dynamics'] = keras.saving.deserialize_keras_object(config['dynamics'])
        return cls(**config)


def ode_blocks(model) -> list[ODEBlock]:
    """The ODE blocks among a model's layers."""
    return [layer for layer in model.layers if isinstance(layer, ODEBlock)]
