"""The solvers against ordinary differential equations whose solution is known in closed form."""

import keras
import numpy as np
import pytest

from hls4ml_ext import ODEBlock, Solver
from hls4ml_ext.layers.ode.solvers import SOLVERS, get_solver

A = np.array([[-0.5, 1.5], [-1.5, -0.3]])  # a damped rotation: dz/dt = A z


def expm(matrix):
    """The matrix exponential, through the eigenvalues."""
    values, vectors = np.linalg.eig(matrix)
    return (vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors)).real


def integrate(solver, n_steps, z0, time_dependent=False):
    """z(1) by an ODEBlock in float64, without any quantizer."""
    n_in = 3 if time_dependent else 2
    dynamics = keras.layers.Conv2D(2, 1, use_bias=False, dtype='float64')
    block = ODEBlock(
        [dynamics],
        n_steps,
        solver=solver,
        time_channel=time_dependent,
        coefficient_bits=None,
        dtype='float64',
        name='linear',
    )
    inputs = keras.Input((1, 1, 2), dtype='float64')
    model = keras.Model(inputs, block(inputs))
    kernel = np.zeros((1, 1, n_in, 2))
    kernel[0, 0, :2] = A.T
    if time_dependent:  # dz/dt = A z + t (1, 2)
        kernel[0, 0, 2] = (1.0, 2.0)
    dynamics.set_weights([kernel])
    return np.asarray(model(z0.reshape(1, 1, 1, 2))).ravel()


@pytest.mark.parametrize('name', list(SOLVERS))
def test_order_of_convergence(name):
    z0 = np.array([1.0, -0.4])
    exact = expm(A) @ z0
    errors = [np.abs(integrate(name, n, z0) - exact).max() for n in (8, 16, 32)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < 0.05
    assert np.all(np.abs(orders - SOLVERS[name].order) < 0.15), f'{name}: errors {errors}, orders {orders}'


@pytest.mark.parametrize('name', ['euler', 'midpoint', 'heun', 'rk4'])
def test_time_channel_has_the_time_of_each_stage(name):
    """With dz/dt = A z + t v the stages must see t + c_i h, or the order of convergence is lost."""
    z0 = np.array([1.0, -0.4])
    v = np.array([1.0, 2.0])
    inverse = np.linalg.inv(A)
    # z(t) = e^{At} (z0 + A^-2 v) - A^-1 v t - A^-2 v
    exact = expm(A) @ (z0 + inverse @ inverse @ v) - inverse @ v - inverse @ inverse @ v
    errors = [np.abs(integrate(name, n, z0, time_dependent=True) - exact).max() for n in (8, 16, 32)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - SOLVERS[name].order) < 0.2), f'{name}: errors {errors}, orders {orders}'


def test_step_size_sets_the_end_time():
    z0 = np.array([1.0, -0.4])
    dynamics = keras.layers.Conv2D(2, 1, use_bias=False)
    block = ODEBlock([dynamics], 64, solver='rk4', step_size=2.0 / 64, coefficient_bits=None)
    inputs = keras.Input((1, 1, 2))
    model = keras.Model(inputs, block(inputs))
    dynamics.set_weights([A.T.reshape(1, 1, 2, 2)])
    z = np.asarray(model(z0.reshape(1, 1, 1, 2).astype('float32'))).ravel()
    assert np.abs(z - expm(2 * A) @ z0).max() < 1e-5


def test_a_solver_of_ones_own():
    """Kutta's third-order method: a full lower triangle, unlike the solvers that come with the package."""
    kutta = Solver('kutta3', ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), (0.0, 0.5, 1.0), 3)
    z0 = np.array([1.0, -0.4])
    errors = [np.abs(integrate(kutta, n, z0) - expm(A) @ z0).max() for n in (8, 16)]
    assert abs(np.log2(errors[0] / errors[1]) - 3) < 0.15


def test_unknown_solver_names_the_known_ones():
    with pytest.raises(ValueError, match=r"ODEBlock ode: solver is 'eulr'. Use one of euler, midpoint, heun, rk4"):
        ODEBlock([keras.layers.Identity()], 2, solver='eulr', name='ode')


@pytest.mark.parametrize(
    'a, b, c, message',
    [
        (((), (0.5,)), (0.0, 1.0), (0.0,), 'needs 2 rows'),
        (((),), (0.9,), (0.0,), 'add up to 0.9'),
        (((), (0.5,)), (0.5, 0.5), (0.0, 1.0), 'row 1 of a adds up to 0.5'),
    ],
)
def test_inconsistent_tableau(a, b, c, message):
    with pytest.raises(ValueError, match=message):
        Solver('bad', a, b, c, 1)


def test_get_solver_accepts_names_configs_and_solvers():
    from dataclasses import asdict

    rk4 = get_solver('rk4')
    assert get_solver(rk4) is rk4
    assert get_solver(asdict(rk4)) == rk4
