"""Projects that come with the package: found by name, and installed."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hls4ml_ext.cli import app
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.project import ModelFile, load_project
from hls4ml_ext.shipped import DIRECTORY, project_name, project_path, shipped_projects
from hls4ml_ext.study import load_study

ROOT = Path(__file__).parents[1]
NAMES = [
    'cifar10',
    'cifar10_5000_study',
    'cifar10_5000_train',
    'cifar10_dense',
    'cifar10_dense_fastest',
    'cifar10_dense_study',
    'cifar10_dense_train',
    'cifar10_kv260_2000',
    'cifar10_kv260_fastest',
    'cifar10_ptq',
    'cifar10_rtl',
    'cifar10_study',
    'cifar10_train',
    'cifar10_zcu104_2000',
    'cifar10_zcu104_fastest',
    'digits',
    'digits_rtl',
    'stl10_kv260_2000',
    'stl10_kv260_fastest',
    'stl10_large',
    'stl10_rtl',
    'stl10_smoke',
    'stl10_zcu104_2000',
    'stl10_zcu104_fastest',
]
COUNT = """
from hls4ml_ext import load_model
from hls4ml_ext.project import load_project
print(load_model(load_project('cifar10').model.file).count_params())
"""
CLI = 'from hls4ml_ext.cli import main; main()'


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_of_the_repository_are_known():
    assert list(shipped_projects()) == sorted(path.stem for path in (ROOT / 'projects').glob('*.yml')) == NAMES


@pytest.mark.parametrize('name', NAMES)
def test_by_name_in_an_empty_folder(name, empty):
    loaded = load_study(name) if name.endswith('_study') else load_project(name)
    assert loaded.name == name
    assert loaded.title
    assert project_name(loaded.path) == name
    if name in ('cifar10', 'cifar10_dense'):
        assert isinstance(loaded.model, ModelFile) and loaded.model.file.is_file()
    if name == 'cifar10_ptq':
        assert loaded.training.initial.is_file()


def test_a_path_is_a_path(empty):
    own = empty / 'digits'
    own.write_text((ROOT / 'projects' / 'digits.yml').read_text().replace('seed: 1', 'seed: 77'))
    assert project_path(Path('digits')).absolute() == own
    assert load_project('digits').seed == 77
    own.unlink()
    own.mkdir()  # a folder is no project file
    assert project_path(Path('digits')) == DIRECTORY / 'digits.yml'
    (empty / 'sub').mkdir()
    (empty / 'sub' / 'p.yml').write_text('')
    assert project_name(empty / 'sub' / 'p.yml') == 'sub/p.yml'
    assert project_name(Path('/p.yml')) == '/p.yml'


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        ('digit', "there is no project file 'digit'. Did you mean 'digits', which comes with hls4ml-ext?"),
        ('projects/digits.yml', "there is no project file 'projects/digits.yml'. Did you mean 'digits', which comes with "),
        ('mine', f"there is no project file 'mine'. By name there are {', '.join(NAMES)}"),
        ('a/mine.yml', "there is no project file 'a/mine.yml'"),
        ('folder', "'folder' is a folder, not a project file. Give a file in it: a.yml, b.yaml"),
        ('.', "'.' is a folder, not a project file. Give the path of a YAML file"),
    ],
)
def test_mistakes(given, message, empty):
    (empty / 'folder').mkdir()
    (empty / 'folder' / 'a.yml').write_text('')
    (empty / 'folder' / 'b.yaml').write_text('')
    for load in (load_project, load_study):
        with pytest.raises(ProjectError) as error:
            load(given)
        assert str(error.value).startswith(message)
        assert len(str(error.value).splitlines()) == 1


def test_studies_and_projects_are_told_apart(empty):
    with pytest.raises(ProjectError, match='it is a study, not a project. Use it: hls4ml-ext study cifar10_study'):
        load_project('cifar10_study')
    with pytest.raises(ProjectError, match='it is a project, not a study. Use it: hls4ml-ext run digits'):
        load_study('digits')


def test_a_study_of_a_shipped_project(empty):
    (empty / 's.yml').write_text('project: digits\nvariants:\n  a: {title: A, changes: {seed: 9}}\n')
    assert load_study('s.yml').projects['a'][9].data.source == 'digits'


def test_the_command_that_lists_them():
    result = CliRunner().invoke(app, ['projects'], env={'COLUMNS': '100'})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(NAMES)]] == NAMES
    assert re.search(r'digits +project +Handwritten digits: from training to C simulation', result.output)
    assert re.search(r'cifar10_study +study +', result.output)
    assert str(DIRECTORY) in lines
    assert max(map(len, lines[:-1])) <= 100


@pytest.mark.slow
def test_the_wheel(tmp_path):
    """What is installed has the projects and their weights, no top-level package but ours, and works in an empty folder."""
    pytest.importorskip('setuptools')
    source, wheels, site, empty = (tmp_path / name for name in ('source', 'wheels', 'site', 'empty'))
    source.mkdir()
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    for name in ('hls4ml_ext', 'models', 'projects'):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns('__pycache__'))
    build = [sys.executable, '-m', 'pip', 'wheel', source, '--no-deps', '--no-build-isolation', '--wheel-dir', wheels]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert {path.name for path in site.iterdir() if path.suffix != '.dist-info'} == {'hls4ml_ext'}
    folders = [path.name for path in (ROOT / 'hls4ml_ext').iterdir() if path.is_dir() and path.name != '__pycache__']
    assert {'models', 'projects', 'cost', 'rtl'} <= set(folders)
    for folder in folders:  # everything of them, but for what Python makes
        there, here = (
            {str(path.relative_to(root)) for path in root.rglob('*.*') if '__pycache__' not in path.parts}
            for root in (site / 'hls4ml_ext' / folder, ROOT / 'hls4ml_ext' / folder)
        )
        assert there == here
    empty.mkdir()
    environment = {**os.environ, 'PYTHONPATH': str(site), 'COLUMNS': '100'}

    def python(code, *arguments):
        command = [sys.executable, '-c', code, *arguments]
        return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=300)

    done = python('import hls4ml_ext.models.ode_mhsa as m; print(m.__file__)')
    assert done.stdout.strip() == str(site / 'hls4ml_ext' / 'models' / 'ode_mhsa.py'), done.stderr
    done = python(CLI, 'projects')
    assert done.stdout.splitlines()[-1] == str(site / 'hls4ml_ext' / 'projects'), done.stderr
    done = python(COUNT)
    assert done.stdout.split()[-1] == '202442', done.stderr
    done = python(CLI, 'convert', 'digits')
    assert done.returncode == 2
    assert 'Make it: hls4ml-ext train digits' in done.stderr.replace('\n', ' ')
    assert [path.name for path in (empty / 'runs').iterdir()] == ['digits']
