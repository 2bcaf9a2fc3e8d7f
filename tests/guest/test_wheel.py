"""The package patchbay-kernel: made of a kernel that is built, it brings all that a guest needs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from patchbay.guest.cache import best_kernel
from patchbay.guest.recipe import recipe

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def wheel(guest, tmp_path, monkeypatch):
    """The wheel with the kernel that this machine has."""
    packaging = tmp_path / "tree" / "packaging" / "kernel"
    shutil.copytree(ROOT / "packaging" / "kernel", packaging)
    (tmp_path / "tree" / "patchbay").symlink_to(ROOT / "patchbay")
    monkeypatch.setenv("PATCHBAY_KERNEL", str(best_kernel().directory))
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "dist"), str(packaging))
    (file,) = (tmp_path / "dist").iterdir()
    return file


def test_the_wheel_has_the_kernel_its_licence_and_where_its_source_is(wheel):
    assert wheel.name.endswith("-py3-none-manylinux_2_17_x86_64.whl")
    with zipfile.ZipFile(wheel) as archive:
        kernel = "patchbay_kernel/kernel"
        names = set(archive.namelist())
        described = json.loads(archive.read(f"{kernel}/kernel.json"))
        source = archive.read(f"{kernel}/SOURCE.md").decode()

        assert {f"{kernel}/{name}" for name in ("linux", "config", "COPYING")} <= names
        assert f"{kernel}/recipe/init.c" in names
        for name, text in recipe().patches.items():
            assert archive.read(f"{kernel}/recipe/patches/{name}").decode() == text
        assert b"GNU GENERAL PUBLIC LICENSE" in archive.read(f"{kernel}/COPYING")
    assert described["version"] in source
    assert described["origin"] in source
    assert "Offer: for three years" in source


def test_the_installed_wheel_is_found_and_starts(wheel, guest, tmp_path):
    pip("install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel))
    environment = guest.environment(
        PYTHONPATH=f"{tmp_path / 'site'}{os.pathsep}{ROOT}", XDG_CACHE_HOME=str(tmp_path / "none")
    )
    del environment["PATCHBAY_KERNEL"]

    def run(*command):
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE
        )

    found = run(sys.executable, "-m", "patchbay", "kernel", "path")
    started = run(sys.executable, str(tmp_path / "site" / "bin" / "patchbay-kernel"))

    assert found.stdout.strip() == str(tmp_path / "site" / "patchbay_kernel" / "kernel")
    assert started.returncode == 0, started.stderr
    assert "started, ran a program and ended" in started.stdout
