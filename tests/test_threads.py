import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [({}, "10000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_idle_threads_spin_for_a_moment_unless_told_otherwise(inputs, expected):
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import os, recsys_bert; print(os.environ.get('GOMP_SPINCOUNT'))"
    ended = subprocess.run([sys.executable, "-c", code], env=clean | inputs, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == expected
