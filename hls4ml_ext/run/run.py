"""The phases of a run."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path

from hls4ml_ext.errors import ExtError, PrecisionError, ProjectError
from hls4ml_ext.project import FLOAT_PHASES, INITIAL_REMEDY, ModelFile, Project
from hls4ml_ext.report.console import Reporter
from hls4ml_ext.report.progress import TrainingProgress
from hls4ml_ext.run.directory import TIMELINE, RunDirectory
from hls4ml_ext.run.results import evaluation_results, simulation_results
from hls4ml_ext.saving import load_keras_file
from hls4ml_ext.shipped import project_name

COUNTED = 8
"""Images whose cycles are counted; they do not depend on the image."""

BINS = 512
"""Parts of a run, at most, for which it is known what each engine does."""


class Run:
    """Trains, converts and simulates a project. Keras is imported by the methods, not by the module.

    Args:
        project: The project.
        output: The run's directory; None is ``runs/NAME`` below the current one. It must be new, empty or a run's. Until
            :meth:`close`, or the end of a ``with``, no other run can use it.
        reporter: Where progress is shown.

    Raises:
        ProjectError: if the directory can't be used, or another process uses it.

    Example::

        with Run(load_project('digits')) as run:
            model = run.train()
    """

    def __init__(self, project: Project, output: Path | None = None, reporter: Reporter | None = None):
        self.project = project
        self.files = RunDirectory(Path(output) if output else Path('runs') / project.name, project)
        self.reporter = reporter or Reporter()
        self._data = None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Lets other runs use the directory."""
        self.files.close()

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return self.files.path

    # ------------------------------------------------------------------ the model

    def load_data(self):
        """The data set (:class:`hls4ml_ext.train.data.Dataset`), loaded once."""
        if self._data is None:
            with self.reporter.step('data', detail=self.project.data.source) as step:
                from hls4ml_ext.train import data

                self._data = loaded = data.load(self.project.data, self.project.seed)
                shape = 'x'.join(map(str, loaded.image_shape))
                n_train = f'{len(loaded.x_train):,} training images, ' if self.project.training.epochs else ''
                step.show(f'{loaded.name}: {n_train}{len(loaded.x_test):,} test images of {shape}')
        return self._data

    def train(self, force: bool = False):
        """Trains the model, or loads it if that has been done for the same model, data, training and bit widths.

        A training that was interrupted goes on after the last epoch that was completed.

        Args:
            force: Train in any case, from the start.

        Returns:
            keras.Model: the trained model, without batch normalization.
        """
        if not force and self.files.trained():
            self.reporter.skipped('training', f'{self.files.model_file} is up to date; train again with --retrain')
            return self.load_model()
        data = self.load_data()
        if isinstance(self.project.model, ModelFile):
            model, phases = self._import_model(), []
        else:
            from hls4ml_ext.train.calibration import BATCHES
            from hls4ml_ext.train.training import Trainer, forget_training

            if not self.project.random_weights:
                self._rehearse_conversion(data)
            if force:
                forget_training(self.directory)
            with TrainingProgress(self.reporter) as progress:
                trainer = Trainer(self.project, data, progress.callbacks, self.directory)
                if self.project.random_weights:
                    detail = f'random, seed {self.project.seed}'
                    with self.reporter.step('weights', BATCHES, detail) as step:
                        trainer.calibrated = step.advance
                        model = trainer.run()
                        step.show(f'{detail}; batch normalization folded')
                else:
                    model = trainer.run()
            phases = [log.as_dict() for log in trainer.logs]
        self.files.save(model, phases)
        return model

    def load_model(self):
        """The trained model of this run.

        Raises:
            ProjectError: if it hasn't been trained, or the project file has changed since.
        """
        if not self.files.trained():
            problem = 'is from another version of the project' if self.files.model_file.is_file() else 'is missing'
            raise ProjectError(f"'{self.files.model_file}' {problem}. Make it: {self._training_command}")
        with self.reporter.step('load', detail=str(self.files.model_file)):
            return load_keras_file(self.files.model_file, f'Train it again: {self._training_command} --retrain')

    def any_model(self):
        """The trained model of this run if there is one, else the model as it is before training: its hardware is the same.

        Returns:
            keras.Model: without batch normalization, ready for conversion.
        """
        if self.files.trained():
            return self.load_model()
        if isinstance(self.project.model, ModelFile):
            return self._import_model()
        data = self.load_data()
        with self.reporter.step('build', detail='untrained') as step:
            model = self._untrained_model(data)
            step.show('the model before training')
        return model

    def _trained_model(self):
        """The trained model; one that comes from a file is taken from there."""
        return self.train() if isinstance(self.project.model, ModelFile) else self.load_model()

    def _untrained_model(self, data):
        """The model before training, without batch normalization; the same one each time."""
        import keras

        from hls4ml_ext.train.quantization import folded
        from hls4ml_ext.train.training import Trainer

        keras.utils.set_random_seed(self.project.seed)
        bits = self.project.quantization
        return folded(Trainer(self.project, data).build(bits), bits)

    def _import_model(self):
        """The Keras model of a file, without batch normalization."""
        from hls4ml_ext import fold_batchnorm
        from hls4ml_ext.train.quantization import has_batchnorm

        with self.reporter.step('load', detail=str(self.project.model.file)) as step:
            model = load_keras_file(self.project.model.file, "Save it again: model.save('model.keras')")
            if has_batchnorm(model):
                model = fold_batchnorm(model)
                step.show(f'{step.detail}; batch normalization folded')
        return model

    def _rehearse_conversion(self, data):
        """Converts the untrained model: what can't be converted is refused before hours of training, not after them.

        Whether sums fit into Keras's floats depends on the trained weights and ranges, so that is only a note.
        """
        import keras

        if keras.backend.backend() != 'tensorflow':  # conversion needs it
            return
        note = ''
        with self.reporter.step('check', detail='of the untrained model') as step:
            try:
                self._converted(self._untrained_model(data), write=False)
                step.show('the model can be converted')
            except PrecisionError as e:
                note = f'With the weights before training: {e}'
        if note:
            self.reporter.note(note)

    def _check_shapes(self, model, data):
        if tuple(model.input_shape[1:]) != tuple(data.image_shape):
            raise ProjectError(
                f'data: images of shape {data.image_shape}, but the model takes {tuple(model.input_shape[1:])}'
            )
        if data.y_test is not None and data.n_classes > model.output_shape[-1]:
            raise ProjectError(f'data: {data.n_classes} classes, but the model has {model.output_shape[-1]} outputs')

    @property
    def _training_command(self) -> str:
        return f'hls4ml-ext train {project_name(self.project.path)}'

    def _float_remedy(self, file: Path) -> str:
        if file == self.project.training.initial:
            return INITIAL_REMEDY
        return f'Train it again: {self._training_command} --retrain'

    # ------------------------------------------------------------------ the hardware

    def convert(self, model):
        """Converts the model and writes the HLS project.

        Returns:
            The hls4ml model, not yet compiled.
        """
        hls = self.project.hls
        with self.reporter.step('convert', detail=f'{hls.backend}, {hls.io_type}, {hls.part}') as step:
            hls_model, notes = self._converted(model, write=True)
            step.show(f'{step.detail} -> {self.files.hls}')
        for text in notes:
            self.reporter.note(text)
        return hls_model

    def simulate(self, model, hls_model) -> dict:
        """Compiles the project, runs it on all test images, and compares every layer with Keras.

        Returns:
            dict: the results, for :meth:`write_results`.
        """
        import numpy as np

        import hls4ml_ext

        check_compiler()
        data = self.load_data()
        self._check_shapes(model, data)
        for library in (self.files.hls / 'firmware').glob('*.so'):  # of earlier compilations
            library.unlink()
        tool = 'Verilator and g++' if self.project.hls.backend == 'RTL' else 'g++'
        with self.reporter.step('compile', detail=tool) as step:
            hls4ml_ext.compile(hls_model, trace=True)
            step.show(f'{len(hls_model.get_layers())} layers with {tool}')
        n, cores = len(data.x_test), os.cpu_count()
        with self.reporter.step('Keras', detail=f'{n:,} images') as step:
            expected = np.asarray(hls4ml_ext.predict(model, data.x_test))
        with self.reporter.step('simulate', n, f'{n:,} images on {cores} cores') as step:
            outputs = hls4ml_ext.simulate(hls_model, data.x_test, progress=step.advance)
        with self.reporter.step('compare', n, f'every layer of {n:,} images') as step:
            compared = hls4ml_ext.compare(hls_model, model, data.x_test, batch_size=16, progress=step.advance)
        training = self.files.training()
        seconds = {**{phase['name']: phase['seconds'] for phase in training.get('phases', [])}, **self.reporter.seconds}
        return {
            **simulation_results(self.project, hls_model, data, expected, outputs, compared),
            'training': training,
            'seconds': {name: round(value, 3) for name, value in seconds.items()},
        }

    def count_cycles(self, hls_model) -> dict:
        """Counts the cycles of the RTL on some test images; what each engine does when goes into ``timeline.json``.

        Returns:
            dict: for ``results.json``: latency, interval, images_per_second, and what each engine did.
        """
        import hls4ml_ext

        with self.reporter.step('cycles', detail=f'of {COUNTED} images') as step:
            cycles = hls4ml_ext.measure_cycles(hls_model, self.load_data().x_test[:COUNTED], bins=BINS)
            per_second = cycles.images_per_second(self.project.hls.clock_period)
            step.show(f'{cycles.interval:,} an image, {cycles.latency:,} from first to last')
        counted = asdict(cycles)
        self.files.write(TIMELINE, counted.pop('timeline'), indent=None)
        return {**counted, 'images_per_second': per_second}

    def build(self, hls_model) -> dict:
        """Synthesizes the RTL, and makes a bitstream where there is an open flow; see ``build`` of an RTL model.

        Returns:
            dict: its report.
        """
        with self.reporter.step('build', detail=self.project.hls.part) as step:

            def progress(done, of, what):
                step.show(what if done is None else f'{what} ({done} of {of})')

            report = hls_model.build(progress=progress)
            step.show(self.project.hls.part)
        return report

    def write_results(self, results: dict) -> Path:
        """Writes ``results.json``. Raises ProjectError if that is impossible."""
        return self.files.write('results.json', results)

    def _converted(self, model, write: bool) -> tuple:
        """The hls4ml model, whose project is written if asked for, and the warnings."""
        import hls4ml_ext

        hls = self.project.hls
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('always')
            hls_model = hls4ml_ext.convert(
                model, output_dir=self.files.hls, backend=hls.backend, io_type=hls.io_type, part=hls.part,
                hls_config=hls.hls_config(), clock_period=hls.clock_period,
            )  # fmt: skip
            if write:
                hls_model.write()
        return hls_model, dict.fromkeys(str(w.message) for w in caught if 'hls4ml_ext' in w.filename)

    # ------------------------------------------------------------------ foldings

    def estimate(self, model, device: str | None = None):
        """Converts the model, without writing anything, and estimates what it takes; see :func:`hls4ml_ext.estimate`.

        Args:
            device: Name of an FPGA; None is that of the project.
        """
        import hls4ml_ext

        with self.reporter.step('estimate', detail=self.project.hls.backend) as step:
            found = hls4ml_ext.estimate(self._converted(model, write=False)[0], device)
            step.show(f'{step.detail}, {found.device} ({found.part})')
        return found

    def tune(self, model, device: str | None = None, share: float = 0.7, keep: bool = False, **target):
        """Finds foldings for a target; see :func:`hls4ml_ext.tune`.

        Args:
            device: Name of an FPGA; None is that of the project.
            keep: Whether the settings that the project has for layers stay.
            target: target_fps, max_latency_ms or fit.
        """
        import hls4ml_ext

        with self.reporter.step('tune', detail='foldings') as step:
            found = hls4ml_ext.tune(model, *self._tuned_for(device), share=share, keep=self._kept(keep), **target)
            step.show(f'{found.estimate.device}: {found.target}')
        return found

    def pareto(self, model, device: str | None = None, share: float = 0.7, keep: bool = False) -> list:
        """The cheapest foldings from the fastest that fits downwards; see :func:`hls4ml_ext.tuning.pareto`."""
        from hls4ml_ext.tuning import pareto

        with self.reporter.step('tune', detail='a sweep') as step:
            chosen, period = self._tuned_for(device)
            points = pareto(model, chosen, period, share, keep=self._kept(keep))
            step.show(f'{chosen.board}: {len(points)} foldings')
        self.files.write('pareto.json', {'points': [point.estimate.to_dict() for point in points]})
        return points

    def plot_pareto(self, points, device: str | None = None, share: float = 0.7) -> Path:
        """The picture of a sweep, ``pareto.png`` in the run's directory."""
        from hls4ml_ext.report.plots.pareto import pareto_plot
        from hls4ml_ext.rtl.build import family_of

        chosen, _ = self._tuned_for(device)
        dataset = self.project.data.source
        return pareto_plot(points, chosen, self.directory / 'pareto.png', share, dataset, family_of(chosen.part))

    def _tuned_for(self, device: str | None):
        """The device, and the clock period of the project in ns."""
        from hls4ml_ext.devices import device_of_part, load_device

        hls = self.project.hls
        chosen = load_device(device) if device else device_of_part(hls.part)
        if chosen is None:
            raise ProjectError(f"no device file has the FPGA '{hls.part}' of the project. Choose one with --device")
        return chosen, hls.clock_period

    def _kept(self, keep: bool) -> dict:
        return self.project.hls.hls_config()['LayerName'] if keep else {}

    # ------------------------------------------------------------------ what is known

    def evaluate(self, steps=()) -> dict:
        """Top-1 accuracies on the whole test set: float, quantized after training, and the trained model.

        Args:
            steps: Also with these numbers of steps in every ODE block.

        Returns:
            dict: as written to ``evaluation.json``: accuracies as fractions; None for what the project doesn't have.

        Raises:
            ProjectError: if the model hasn't been trained, or the test images have no labels.
        """
        from hls4ml_ext.train import evaluation
        from hls4ml_ext.train.ranges import METHODS

        data = self.load_data()
        model = self._trained_model()
        self._check_shapes(model, data)
        n = len(data.x_test)
        result = {'float': None, 'ptq': {}, 'steps': {}}
        with self.reporter.step('evaluate', detail='the trained model') as step:
            accuracy = evaluation.top1(model, data)
            step.show(f'trained model: {accuracy:.2%} of {n:,} test images')
        training = self.files.training()
        phases = training.get('phases', [])
        result['quantized'] = accuracy
        result['qat_epochs'] = sum(log['epochs'] for log in phases if log['name'] not in FLOAT_PHASES)
        models = {'quantized': model}
        float_file = self.files.float_model_file
        if float_file:
            models['float'] = float_model = load_keras_file(float_file, self._float_remedy(float_file))
            with self.reporter.step('evaluate', detail='the float model') as step:
                result['float'] = evaluation.top1(float_model, data)
                step.show(f'float model: {result["float"]:.2%}')
        for method in METHODS if float_file else ():
            with self.reporter.step('PTQ', detail=method) as step:
                quantized = evaluation.post_training_quantized(self.project, data, float_model, method)
                result['ptq'][method] = evaluation.top1(quantized, data)
                step.show(f'calibrated by {method}: {result["ptq"][method]:.2%}')
        for name, evaluated in models.items() if steps else ():
            with self.reporter.step('steps', detail=f'the {name} model') as step:
                result['steps'][name] = found = evaluation.top1_by_steps(evaluated, data, steps)
                step.show(f'{name}: ' + ', '.join(f'N={k} {v:.2%}' for k, v in found.items()))
        result = {**evaluation_results(self.project, data, model, result), 'training': training}
        self.files.write('evaluation.json', result)
        return result

    def plot(self) -> list[Path]:
        """Pictures of the trained model, in the run's directory.

        Returns:
            The files: histograms of weights and activations, and maps of attention on a few test images if there is any.
        """
        import numpy as np

        from hls4ml_ext.layers.attention.keras import MultiHeadSelfAttention2D
        from hls4ml_ext.report.plots import model as plots
        from hls4ml_ext.train.calibration import all_layers

        data = self.load_data()
        model = self._trained_model()
        self._check_shapes(model, data)
        chosen = np.random.default_rng(self.project.seed).permutation(len(data.x_test))
        written = []
        with self.reporter.step('plot', detail='histograms') as step:
            written.append(plots.weight_histograms(model, self.directory / 'weights.png'))
            images = data.x_test[chosen[:256]]
            written.append(plots.activation_histograms(model, images, self.directory / 'activations.png'))
            if any(isinstance(layer, MultiHeadSelfAttention2D) for layer in all_layers(model)):
                step.show('histograms and attention maps')
                few = chosen[:5]
                titles = [data.class_name(i) for i in few]
                path = self.directory / 'attention.png'
                written.append(plots.attention_maps(model, data.x_test[few], titles, path))
        return written

    def report(self) -> Path:
        """Writes what is known of the run into one HTML file, ``report.html``; pictures of the hardware beside it.

        Estimates what the network takes, and draws; it trains, simulates and synthesizes nothing: the report says what is
        missing, and which command makes it.

        Returns:
            The file.

        Raises:
            ProjectError: if it can't be written, or there is a file of that name which is no report.
        """
        import hls4ml_ext
        from hls4ml_ext.estimation.layers import engines_of_layers
        from hls4ml_ext.report import facts
        from hls4ml_ext.report.html.content import content_of
        from hls4ml_ext.report.html.page import REPORT, check_ours, write_report

        path = self.directory / REPORT
        check_ours(path)
        layers = estimate = None
        problem, engines = '', {}
        try:
            model = self.any_model()
            with self.reporter.step('estimate', detail=self.project.hls.backend) as step:
                hls_model, _ = self._converted(model, write=False)
                layers = facts.layer_facts(hls_model)
                if self.project.hls.backend == 'RTL':
                    engines = engines_of_layers(hls_model)
                estimate = hls4ml_ext.estimate(hls_model).to_dict()
                step.show(f'{step.detail}, {estimate["device"]} ({estimate["part"]})')
        except ExtError as e:
            problem = str(e)
            self.reporter.note(f'The network could not be estimated: {problem}')
        with self.reporter.step('report', detail='pictures') as step:
            content = content_of(self.project, self.directory, layers, estimate, problem, engines)
            write_report(content, path)
            step.show('one HTML file')
        return path


def check_compiler():
    """Raises ProjectError if there is no g++, before a long training rather than after it."""
    if shutil.which('g++') is None:
        raise ProjectError('C simulation needs g++, which is not on PATH. Install it, for instance: apt-get install g++')
