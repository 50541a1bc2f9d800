"""The worked example of docs/extend.md, pasted as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / 'docs' / 'extend.md'


def test_the_page_works_as_written(tmp_path):
    page = PAGE.read_text()
    blocks = re.findall(r'```(?:python|cpp|systemverilog)\n(?:#|//) (\S+)\n(.*?)```', page, re.S)
    assert [name for name, _ in blocks] == [
        'leaky_shift.py',
        'nnet_leaky_shift.h',
        'leaky_shift.sv',
        'leaky_shift_hardware.py',
        'use_leaky_shift.py',
    ]
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    command, output = re.search(r'```console\n\$ (.*?)\n(.*?)```', page, re.S).groups()
    setting, program, script = command.split()
    assert program == 'python'
    env = {**os.environ, **dict([setting.split('=')])}
    run = subprocess.run([sys.executable, script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout == output
