"""The figures of a run, as they stand in its files."""

from __future__ import annotations

from dataclasses import asdict

from hls4ml_ext.project import ModelFile, Project


def simulator(backend: str) -> str:
    """What the simulation is called in ``results.json``."""
    return 'rtl' if backend == 'RTL' else 'csim'


def simulation_results(project: Project, hls_model, data, expected, outputs, compared) -> dict:
    """What a simulation of all test images gave, for ``results.json``.

    Args:
        data: The :class:`hls4ml_ext.train.data.Dataset`.
        expected, outputs: Outputs of Keras and of the simulation, of shape (images, ...).
        compared: What :func:`hls4ml_ext.compare` returned.
    """
    from hls4ml_ext.report import facts

    layers = facts.layer_facts(hls_model)
    facts.add_comparisons(layers, compared)
    wrong = [c.node if c.evaluation is None else c.layer for c in compared if c.mismatches]
    output_mismatches = int((outputs != expected).sum())

    def accuracy(y):
        return None if data.y_test is None else float((y.argmax(-1).ravel() == data.y_test).mean())

    return {
        **_about(project, data),
        'file': str(project.path),
        'hls': project.hls.model_dump(mode='json'),
        'model': {**facts.totals(layers), 'random_weights': project.random_weights},
        'accuracy': {'keras': accuracy(expected), simulator(project.hls.backend): accuracy(outputs)},
        'mismatches': {
            'wrong': sum(c.mismatches for c in compared) + output_mismatches,
            'values': sum(c.values for c in compared) + int(outputs.size),
            'outputs': output_mismatches,
            'first': wrong[0] if wrong else ('the outputs' if output_mismatches else None),
        },
        'layers': layers,
    }


def evaluation_results(project: Project, data, model, accuracy: dict) -> dict:
    """What an evaluation gave, for ``evaluation.json``.

    Args:
        data: The :class:`hls4ml_ext.train.data.Dataset`.
        model: The trained keras.Model.
        accuracy: Fractions of images that are classified correctly.
    """
    from hls4ml_ext.layers.ode.keras import ode_blocks
    from hls4ml_ext.report.complexity import complexity

    n_steps = max((block.n_steps for block in ode_blocks(model)), default=None)
    return {**_about(project, data), 'accuracy': accuracy, 'model': {**asdict(complexity(model)), 'n_steps': n_steps}}


def _about(project: Project, data) -> dict:
    """Of what the figures are, and what made them."""
    from hls4ml_ext.report import facts

    return {
        'project': project.name,
        'seed': project.seed,
        'versions': facts.versions(),
        'machine': facts.machine(),
        'data': {'name': data.name, 'test_images': len(data.x_test), 'training_images': len(data.x_train)},
        'quantization': None if isinstance(project.model, ModelFile) else project.quantization.model_dump(),
    }
