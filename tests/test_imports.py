"""What lies in the folder that recap is run in is not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recap import imports
from recap.imports import HOME, search_path

TRAPS = ("recap/__init__.py", "sitecustomize.py", "transformers.py", "tokenizers.py", "numpy.py", "types.py")


def test_a_run_imports_nothing_from_the_folder_it_is_run_in(home, tmp_path):
    folder = tmp_path / "corpus"
    for trap in TRAPS:
        path = folder / trap
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'sprung')!r}, 'a').write({trap + chr(10)!r})\n")
    clips = home / "pipelines/demo/clips/shapes"
    (folder / "p.yaml").write_text(
        f"corpus: {{path: {clips}, pattern: 'red-*'}}\nengine: {{kind: rehearsal}}\noutput: {{path: out}}\n"
    )
    command = [str(Path(sys.executable).with_name("recap")), "run", "p.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (folder / "out/manifest.json").exists() and not (tmp_path / "sprung").exists()


def test_the_current_folder_is_searched_only_where_recap_is_in_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", ["", str(tmp_path / "a"), HOME])
    monkeypatch.chdir(tmp_path)
    assert search_path() == [str(tmp_path / "a"), HOME]
    monkeypatch.setattr(imports, "HOME", str(tmp_path))
    assert search_path() == [str(tmp_path), str(tmp_path / "a"), HOME]


def test_workers_find_recap_where_it_is_run_from():
    folders = imports.job_config()._py_driver_sys_path
    folders.extend([HOME, "/elsewhere"])
    assert folders == [HOME]
