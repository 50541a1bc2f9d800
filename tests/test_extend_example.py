"""The worked example of docs/extend.md, pasted as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / 'docs' / 'extend.md'


def test_the_page_works_as_written(tmp_path):
    blocks = re.findall(r'```(?:python|cpp)\n(?:#|//) (\S+)\n(.*?)```', PAGE.read_text(), re.S)
    assert [name for name, _ in blocks] == [
        'leaky_shift.py',
        'nnet_leaky_shift.h',
        'leaky_shift_hls.py',
        'use_leaky_shift.py',
    ]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    env = {**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3'}
    run = subprocess.run([sys.executable, 'use_leaky_shift.py'], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall(r'(\w+): \S+: 0 of 1800 values differ', run.stdout) == ['io_stream', 'io_parallel']
