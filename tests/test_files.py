"""The files of a run: whole or not there, and of one process at a time."""

import signal
import subprocess
import sys

import pytest

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import LOCK, locked, make_directory, read_json, remove_unfinished, replacing, write_json

HOLD = """
import sys, time
from hls4ml_ext.files import Path, locked
with locked(Path(sys.argv[1])):
    print('locked', flush=True)
    time.sleep(60)
"""


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each has a name of its own; the last one to end has its content there."""
    path = tmp_path / 'a.json'
    with replacing(path) as first:
        with replacing(path) as second:
            assert first != second
            assert first.suffix == second.suffix == '.json'
            first.write_text('first')
            second.write_text('second')
        assert path.read_text() == 'second'
    assert path.read_text() == 'first'
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_the_old_file(tmp_path):
    write_json(tmp_path / 'a.json', {'a': 1})
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / 'a.json') as unfinished:
        unfinished.write_text('{')
        raise KeyboardInterrupt
    assert read_json(tmp_path / 'a.json') == {'a': 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / 'training').mkdir()
    left = tmp_path / 'training' / f'unfinished-{"0f" * 16}-qat.npz'
    mine = tmp_path / 'unfinished-symphony.txt'
    left.write_text('')
    mine.write_text('')
    remove_unfinished(tmp_path)
    assert not left.exists() and mine.exists()


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / 'a.json').mkdir()
    with pytest.raises(ProjectError, match=f"^file '{tmp_path}/a.json' can't be written: Is a directory$"):
        write_json(tmp_path / 'a.json', {})
    with pytest.raises(ProjectError, match="none/a.json' can't be written: No such file or directory"):
        write_json(tmp_path / 'none' / 'a.json', {})
    assert [p.name for p in tmp_path.iterdir()] == ['a.json']


def test_a_file_in_the_place_of_a_directory(tmp_path):
    (tmp_path / 'file').write_text('')
    for directory in (tmp_path / 'file', tmp_path / 'file' / 'a' / 'b'):
        with pytest.raises(ProjectError) as error:
            make_directory(directory)
        assert str(error.value) == (
            f"output directory '{directory}' can't be used: '{tmp_path}/file' is a file. Choose another one with --output"
        )


def test_a_directory_is_locked_once(tmp_path):
    with locked(tmp_path):
        with pytest.raises(ProjectError, match=f"output directory '{tmp_path}' is in use by another run of hls4ml-ext"):
            with locked(tmp_path):
                pass
    with locked(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [LOCK]


def test_the_lock_ends_with_its_process_even_if_killed(tmp_path):
    with subprocess.Popen([sys.executable, '-c', HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == 'locked\n'
            with pytest.raises(ProjectError, match='is in use by another run'), locked(tmp_path, patience=0.2):
                pass
        finally:
            process.send_signal(signal.SIGKILL)
        process.wait()
    with locked(tmp_path):
        pass
