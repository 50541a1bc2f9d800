"""The command ``hls4ml-ext``."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib.util
import logging
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from hls4ml_ext.errors import ExtError, ProjectError

app = typer.Typer(
    help='Neural-ODE and attention networks: from a project file to a bit-exact C simulation.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={'help_option_names': ['-h', '--help']},
)

ProjectFile = Annotated[
    Path,
    typer.Argument(
        metavar='PROJECT.yml', help="The project file, or the name of one of 'hls4ml-ext projects'.", show_default=False
    ),
]  # fmt: skip
Output = Annotated[
    Path | None, typer.Option('--output', '-o', help='Directory of the run; runs/NAME if not given.', show_default=False)
]
Retrain = Annotated[bool, typer.Option('--retrain', help='Train from the start, even if the trained model is up to date.')]
Backend = Annotated[
    str | None,
    typer.Option(
        '--backend', metavar='tensorflow|jax|torch', show_default=False,
        help='Backend of Keras; KERAS_BACKEND, else tensorflow, if not given. Conversion needs tensorflow.',
    ),
]  # fmt: skip
Steps = Annotated[
    list[int],
    typer.Option('--steps', '-n', min=1, max=256, help='Evaluate with N steps in every ODE block, too.', show_default=False),
]

Device = Annotated[
    str | None,
    typer.Option('--device', '-d', metavar='NAME', help='The FPGA; that of the project if not given.', show_default=False),
]

BACKENDS = ('tensorflow', 'jax', 'torch')

WRONG, REFUSED, INTERRUPTED = 1, 2, 130
"""Exit codes: the C simulation differs from Keras; the project or its model is refused; Ctrl-C."""


def main():
    """Entry point."""
    app(prog_name='hls4ml-ext')


def command(function):
    """A command whose refusals are one message instead of a traceback."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        from rich.console import Console
        from rich.markup import escape

        console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        try:
            return function(*args, **kwargs)
        except ExtError as e:
            problem = str(e)
        except KeyboardInterrupt:
            console.print('[bold red]interrupted[/]')
            raise typer.Exit(INTERRUPTED) from None
        except Exception as e:
            problem = outside_problem(e)
            if problem is None:
                raise
        console.print(f'[bold red]error:[/] {escape(problem)}')
        raise typer.Exit(REFUSED)

    return app.command()(wrapped)


def outside_problem(error: Exception) -> str | None:
    """What to say about an error that lies in the machine, not in the program; None if it is in the program.

    Args:
        error: Of the operating system, or of a framework that ran out of memory.
    """
    if isinstance(error, OSError) and error.errno not in (None, errno.EPIPE):
        return f"'{error.filename}': {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, MemoryError) or type(error).__name__ == 'ResourceExhaustedError' or "can't allocate" in str(error):
        return 'there is not enough memory. Use a smaller model, smaller images, or a smaller training.batch_size'
    return None


def show_versions(wanted: bool):
    """The option ``--version``."""
    if not wanted:
        return
    from hls4ml_ext import __version__
    from hls4ml_ext.report.versions import installed

    ours, others = {'hls4ml-ext': __version__}, installed(('jax', 'torch'))
    for package, number in {**ours, **others, **ours}.items():
        typer.echo(f'{package:12s} {number}')
    raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            '--version', callback=show_versions, is_eager=True, help='Show versions of all that matters, and exit.'
        ),
    ] = False,
):
    """What stands before the command."""


@command
def run(project: ProjectFile, output: Output = None, retrain: Retrain = False):
    """Train, convert, simulate, and compare with Keras. Exit code 1 if a single value differs."""
    with prepared(project, output) as a_run:
        model = a_run.train(retrain)
        hls_model = a_run.convert(model)
        simulated(a_run, model, hls_model)


@command
def train(project: ProjectFile, output: Output = None, retrain: Retrain = False, backend: Backend = None):
    """Train the model, fold batch normalization, and write DIR/model.keras. Resumes what was interrupted."""
    with prepared(project, output, compiler=False, backend=backend) as a_run:
        a_run.train(retrain)
        a_run.reporter.written(a_run.files.model_file)


@command
def evaluate(project: ProjectFile, output: Output = None, steps: Steps = (), backend: Backend = None):
    """Accuracy of the trained model on all test images; of the float model, and quantized after training (PTQ), if there."""
    with prepared(project, output, compiler=False, backend=backend) as a_run:
        a_run.evaluate(steps)
        a_run.reporter.written(a_run.directory / 'evaluation.json')


@command
def plot(project: ProjectFile, output: Output = None, backend: Backend = None):
    """Pictures of the trained model: attention maps, weights and activations against the ranges of their quantizers."""
    with prepared(project, output, compiler=False, backend=backend) as a_run:
        for path in a_run.plot():
            a_run.reporter.written(path)


@command
def report(project: ProjectFile, output: Output = None):
    """One HTML file of all that is known of the run, DIR/report.html: readable without a network."""
    with prepared(project, output, compiler=False) as a_run:
        a_run.reporter.written(a_run.report())


@command
def study(
    study: Annotated[
        Path,
        typer.Argument(
            metavar='STUDY.yml', help="The study file, or the name of one of 'hls4ml-ext projects'.", show_default=False
        ),
    ],
    output: Output = None,
    only: Annotated[list[str], typer.Option('--only', help='Only this variant; may be repeated.', show_default=False)] = (),
    backend: Backend = None,
):
    """Train and evaluate all variants of a project; write tables and pictures. What is done is not done again."""
    from hls4ml_ext.study import StudyRun, load_study

    loaded = load_study(study)
    reporter = chosen(backend)
    study_run = StudyRun(loaded, output, reporter)
    with session(study, reporter):
        study_run.run(only)


@command
def convert(project: ProjectFile, output: Output = None):
    """Convert the trained model to an HLS project in DIR/hls."""
    with prepared(project, output, compiler=False) as a_run:
        hls_model = a_run.convert(a_run.load_model())
        from hls4ml_ext.report import facts, tables

        layers = facts.layer_facts(hls_model)
        total = facts.totals(layers)
        a_run.reporter.print(tables.layer_table(layers, total, a_run.reporter.console.width))
        a_run.reporter.print(f'[bold]memories, DSPs[/]  {tables.usage(total, a_run.project.hls.part)}\n')
        a_run.reporter.written(a_run.files.hls)


@command
def estimate(
    project: ProjectFile,
    output: Output = None,
    device: Device = None,
    json_file: Annotated[
        Path | None, typer.Option('--json', metavar='FILE', help='Write it as JSON, too.', show_default=False)
    ] = None,
):
    """What the network takes of an FPGA, how fast it is there, and what limits both: in seconds, without any tool."""
    with prepared(project, output, compiler=False) as a_run:
        found = a_run.estimate(a_run.any_model(), device)
        a_run.reporter.print(found.table(a_run.reporter.console.width))
        if json_file:
            from hls4ml_ext.files import write_json

            write_json(json_file, found.to_dict())
            a_run.reporter.written(json_file)


@command
def tune(
    project: ProjectFile,
    output: Output = None,
    device: Device = None,
    target_fps: Annotated[
        float | None,
        typer.Option('--target-fps', min=0, help='So many images per second at the least cost.', show_default=False),
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option('--max-latency', metavar='MS', help='A latency at the least cost.', show_default=False)
    ] = None,
    fit: Annotated[bool, typer.Option('--fit', help='The fastest network that fits.')] = False,
    sweep: Annotated[
        bool, typer.Option('--sweep', help='The cheapest networks from the fastest that fits downwards, in a picture.')
    ] = False,
    share: Annotated[
        float, typer.Option(min=0, max=1, help='Of each resource of the FPGA that the network may take.')
    ] = 0.7,
    keep: Annotated[bool, typer.Option('--keep', help='Keep the settings that the project has for layers.')] = False,
    write: Annotated[
        Path | None,
        typer.Option('--write', metavar='FILE', help='Write the hls section for a project file.', show_default=False),
    ] = None,
):
    """Find the folding of each layer for a target on an FPGA: images per second, latency, or the fastest that fits."""
    from hls4ml_ext.files import write_new
    from hls4ml_ext.report.tuning import points_table, verdict

    with prepared(project, output, compiler=False) as a_run:
        show = a_run.reporter.print
        if sweep:
            points = a_run.pareto(a_run.any_model(), device, share, keep)
            show(points_table(points))
            a_run.reporter.written(a_run.plot_pareto(points, device, share))
            return
        targets = {'target_fps': target_fps, 'max_latency_ms': max_latency_ms, 'fit': fit}
        found = a_run.tune(a_run.any_model(), device, share=share, keep=keep, **targets)
        show(found.estimate.table(a_run.reporter.console.width))
        show(verdict(found))
        if write:
            write_new(write, found.yaml())
            a_run.reporter.written(write)
        else:
            typer.echo(found.yaml())  # whose lines are not to be wrapped


@command
def calibrate(
    family: Annotated[str, typer.Option(help="Of FPGAs: xcup (UltraScale+) or ecp5.")] = 'xcup',
    refit: Annotated[bool, typer.Option('--refit', help='Fit to the data that are there; synthesize nothing.')] = False,
    report: Annotated[
        list[str],
        typer.Option(
            '--report', metavar='FILE:DIR', show_default=False,
            help="Fit to Vivado's report_utilization -hierarchical of the RTL project in DIR instead; may be repeated.",
        ),
    ] = (),
    output: Annotated[
        Path | None, typer.Option('--output', '-o', help='Of data and fit; name it in HLS4ML_EXT_COSTS.', show_default=False)
    ] = None,
):  # fmt: skip
    """Fit the costs of engines that estimates use, to engines that Yosys synthesizes or to reports of Vivado."""
    from hls4ml_ext.cost import calibration
    from hls4ml_ext.report.console import Reporter
    from hls4ml_ext.report.estimate import error

    reporter = Reporter()
    if output is None:
        raise ProjectError('give a folder for the data and the fit with --output, and name it in HLS4ML_EXT_COSTS to use it')
    with reporter.step('calibrate', detail=family) as step:
        if report:
            made = calibration.calibrate_to_reports(family, [read_report(text) for text in report], output)
        else:
            made = calibration.calibrate(
                family, refit, output, lambda done, of, module: step.show(f'{family}: {module} ({done} of {of} modules)')
            )
        step.show(family)
    reporter.print(error(made['errors']))
    reporter.written(output)


def read_report(text: str) -> tuple[str, Path]:
    """Text of a report, and the folder of its project, of an option FILE:DIR."""
    file, _, directory = text.rpartition(':')
    if not file:
        raise ProjectError(f'--report {text}: give FILE:DIR, the report and the folder of the RTL project')
    try:
        return Path(file).read_text(encoding='utf-8'), Path(directory)
    except (OSError, UnicodeDecodeError) as e:
        raise ProjectError(f"report '{file}' can't be read: {e}") from None


@command
def simulate(project: ProjectFile, output: Output = None):
    """Convert and compile the trained model, run it on all test images, and compare every layer with Keras."""
    with prepared(project, output) as a_run:
        model = a_run.load_model()
        simulated(a_run, model, a_run.convert(model))


@command
def models(
    classes: Annotated[int, typer.Option(min=2, help='Number of classes.')] = 10,
    size: Annotated[
        int, typer.Option(min=32, help='Height and width of the images, where the name of a preset does not say it.')
    ] = 96,
    reuse_factor: Annotated[
        int, typer.Option(min=1, help='Reuse factor of the layers whose memories and multipliers are counted.')
    ] = 256,
):
    """Compare the networks of hls4ml_ext.models: parameters, multiply-accumulates, bits; what they take of a ZCU104."""
    from hls4ml_ext.devices import load_device
    from hls4ml_ext.report.console import Reporter

    reporter, device = Reporter(), load_device('zcu104')
    with reporter.step('start') as step:
        step.show(load_keras_quietly())
    from hls4ml_ext.report import models_table

    candidates = models_table.candidates(size)
    rows = []
    with reporter.step('build', len(candidates), f'{len(candidates)} networks for {classes} classes') as step:
        for candidate in candidates:
            rows.append((candidate, candidate.measure(classes, reuse_factor, device)))
            step.advance()
    reporter.print(models_table.models_table(rows, device))
    reporter.print(f'[dim]{models_table.explanation(device, size, reuse_factor)}[/]')


@command
def projects():
    """List the projects and studies that come with the package, which all commands know by name."""
    from rich.table import Table

    from hls4ml_ext.project import read_yaml
    from hls4ml_ext.report.console import Reporter
    from hls4ml_ext.shipped import DIRECTORY, shipped_projects

    reporter = Reporter()
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False)
    for header in ('name', 'kind', 'what it is'):
        table.add_column(header, header_style='bold', no_wrap=header != 'what it is')
    for name, path in shipped_projects().items():
        content = read_yaml(path)
        table.add_row(name, 'study' if 'variants' in content else 'project', content.get('title', ''))
    reporter.print(table)
    reporter.print('\n[dim]Use one: hls4ml-ext run NAME, or train, evaluate, ...; hls4ml-ext study NAME. Their files:[/]')
    reporter.written(DIRECTORY)


@contextlib.contextmanager
def prepared(project_file: Path, output: Path | None, compiler: bool = True, backend: str | None = None):
    """The run of a project file, with Keras loaded; its total time is shown at the end."""
    from hls4ml_ext.project import load_project
    from hls4ml_ext.run import Run, check_compiler

    project = load_project(project_file)
    if compiler:
        check_compiler()
    reporter = chosen(backend)
    with Run(project, output, reporter) as a_run, session(project_file, reporter):  # Keras takes its time to load
        yield a_run


def chosen(backend: str | None):
    """A reporter, after the backend has been chosen."""
    from hls4ml_ext.report.console import Reporter

    choose_backend(backend)
    return Reporter()


@contextlib.contextmanager
def session(file: Path, reporter):
    """Loads Keras; the total time is shown at the end."""
    from rich.markup import escape

    from hls4ml_ext import __version__

    start = time.perf_counter()
    reporter.print(f'[bold]hls4ml-ext {__version__}[/]  {escape(str(file))}\n')
    with reporter.step('start') as step:
        step.show(load_keras_quietly())
    yield
    reporter.print(f'[dim]{time.perf_counter() - start:.1f} s in all[/]')


def simulated(a_run, model, hls_model):
    """Simulates, shows the results, and exits with an error code if the C simulation differs from Keras."""
    from hls4ml_ext.report import tables

    results = a_run.simulate(model, hls_model)
    show = a_run.reporter.print
    show(tables.layer_table(results['layers'], results['model'], a_run.reporter.console.width))
    show('[dim]Indented: inside of an ODE block, MACs and cycles for one evaluation, mismatches of all of them.[/]')
    show('[dim]Total cycles: of the slowest layer.[/]\n')
    show(tables.summary(results))
    show()
    show(tables.verdict(results))
    wrong = results['mismatches']['wrong']
    if a_run.project.hls.backend == 'RTL' and not wrong:
        hardware(a_run, hls_model, results)
    try:
        a_run.reporter.written(a_run.write_results(results))
    except ProjectError as e:
        if not wrong:
            raise
        a_run.reporter.error(str(e))
    if wrong:
        raise typer.Exit(WRONG)


def hardware(a_run, hls_model, results: dict):
    """Counts cycles, builds what is to be built, shows both, and adds them to the results."""
    from hls4ml_ext.devices import device_of_part
    from hls4ml_ext.report import tables
    from hls4ml_ext.report.resources import resource_table

    hls, show = a_run.project.hls, a_run.reporter.print
    results['cycles'] = a_run.count_cycles(hls_model)
    show(tables.throughput(results['cycles'], hls.clock_period))
    if hls.build:
        results['build'] = a_run.build(hls_model)
        device = device_of_part(hls.part)
        show(resource_table(results['build'], device.board if device else ''))


def choose_backend(name: str | None):
    """Sets Keras's backend, before Keras is loaded. Raises ProjectError if it isn't known or installed."""
    name = name or os.environ.get('KERAS_BACKEND', 'tensorflow')
    if name not in BACKENDS:
        raise ProjectError(f'backend {name!r} is not one of {", ".join(BACKENDS)}')
    if importlib.util.find_spec(name) is None:
        raise ProjectError(f'backend {name!r} is not installed. Install it (pip install {name}), or use another --backend')
    loaded = sys.modules.get('keras')
    if loaded and loaded.backend.backend() != name:
        raise ProjectError(f'backend {name!r}: Keras already runs on {loaded.backend.backend()} in this process')
    os.environ['KERAS_BACKEND'] = name


def load_keras_quietly() -> str:
    """Imports Keras and its backend without their log messages; returns their names and versions."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    os.environ.setdefault('KERAS_BACKEND', 'tensorflow')
    logging.getLogger('tensorflow').setLevel(logging.ERROR)
    logging.getLogger('absl').setLevel(logging.ERROR)
    warnings.filterwarnings('ignore', module='keras|tensorflow|qkeras|hls4ml|tensorflow_model_optimization')
    with no_stderr():
        import keras
        import qkeras  # noqa: F401

        from hls4ml_ext import plugin

        plugin.register()
    backend = keras.backend.backend()
    return f'Keras {keras.__version__} on {backend} {__import__(backend).__version__}'


@contextlib.contextmanager
def no_stderr():
    """Drops what C++ libraries write to standard error while they load; no setting of TensorFlow's does."""
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # closed
        yield
        return
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
