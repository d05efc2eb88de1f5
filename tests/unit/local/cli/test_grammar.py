"""One grammar for every command: the same option means the same, an error is one line, and help costs nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer._click.core import Command, Context
from typer.main import get_command

from local.cli.catalogue import COMMANDS, EXAMPLES
from local.cli.command import app, main
from local.settings import load_settings
from tests.unit.training.synthetic import walk, write_candles

OLD = frozenset({"--since", "--lake", "--html", "--trades", "--predictions", "--reason", "--from"})  # spellings that went
Run = Callable[..., tuple[int, str, str]]


def walked(command: Command, path: str = "") -> Iterator[tuple[str, Command]]:
    """Every command that does something, with the words that call it."""
    context = Context(command, info_name=path)
    names = command.list_commands(context) if hasattr(command, "list_commands") else []
    if not names or getattr(command, "invoke_without_command", False):
        yield path, command
    for name in names:
        found = command.get_command(context, name)  # type: ignore[attr-defined]
        assert found is not None
        yield from walked(found, f"{path} {name}".strip())


LEAVES = dict(walked(get_command(app)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command in an empty folder with a state of its own, without AWS; return code, stdout, stderr."""
    for name in ("SIGNALBOX_STAGE", "SIGNALBOX_CONFIG", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "SIGNALBOX_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["signalbox", *words])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


def test_the_catalogue_has_every_command_and_an_example_of_each_that_parses() -> None:
    assert set(LEAVES) == set(EXAMPLES)
    for path, command in LEAVES.items():
        words = shlex.split(EXAMPLES[path])
        assert words[: len(path.split())] == path.split()
        command.make_context(path, words[len(path.split()) :])
        assert command.epilog == f"Example: signalbox {EXAMPLES[path]}"


def test_the_help_of_the_whole_says_what_each_command_says_of_itself() -> None:
    for entry in COMMANDS:
        if entry.name in LEAVES and not hasattr(LEAVES[entry.name], "list_commands"):
            said = (LEAVES[entry.name].help or "").splitlines()[0]
            assert said.startswith(entry.help.rstrip(".")), entry.name


def test_an_option_is_spelt_alike_everywhere() -> None:
    for path, command in LEAVES.items():
        options = {name: one for one in command.params for name in one.opts if name.startswith("--")}
        assert OLD & set(options) == ({"--from"} if path == "restore" else set()), path  # there it names no instant
        assert ("--until" in options) == (path == "accounts halt"), path
        assert ("--start" in options) >= ("--end" in options), path
        if (flag := options.get("--json")) is not None:
            assert flag.is_flag, path  # type: ignore[attr-defined]
        if (stage := options.get("--stage")) is not None:
            assert stage.default is None, path
    silent = {path for path, command in LEAVES.items() if all("--json" not in one.opts for one in command.params)}
    assert silent == {
        "up",
        "mt5 config",
        "mt5 key",
        "mt5 rotate",
        "deploy",
        "secrets set",
        "secrets rotate",
        "telegram group",
        "telegram remove",
    }


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("acounts list", "signalbox: no command acounts; did you mean accounts? (signalbox --help)"),
        ("accounts shwo x", "signalbox: no command shwo; did you mean show? (signalbox accounts --help)"),
        ("demo --ouut x", "signalbox: no option --ouut; did you mean --out? (signalbox demo --help)"),
        ("backtest", "signalbox: missing argument BUNDLE (signalbox backtest --help)"),
        ("demo --out /proc/nope", "signalbox: --out: cannot write to /proc/nope"),
        ("demo --bundle nope", "signalbox: --bundle: no manifest.json in nope"),
        ("demo --start 2024-03-02 --end 2024-03-01", "signalbox: --start: expected a time before --end (2024-03-01T00:00)"),
        ("evaluate nope --start 2024-03-02 --end 2024-03-01", "signalbox: --start: expected a time before --end"),
        (
            "train --quick --out x --start tomorrow",
            "signalbox: --start: expected ISO 8601 such as 2024-03-01T12:00, or an age",
        ),
        ("accounts list", "signalbox: no stage is named and no local cloud runs here; give --stage local"),
        ("accounts list --stage Prod", "signalbox: --stage: expected lowercase letters, digits and dashes, got Prod"),
        ("accounts list --stage prod", "signalbox: no AWS region: set AWS_REGION"),
        ("accounts trades x --stage prod", "signalbox: the ledger of stage prod answers only inside its own network"),
        ("signals list", "signalbox: no ledger answers"),
        ("report --account x --period 2026-11 --out /proc/nope", "signalbox: --out: cannot write to /proc/nope"),
        (
            "accounts halt x --why y --level none --stage local",
            "signalbox: --level: expected one of HALT, REDUCE_ONLY, FLATTEN, got NONE",
        ),
        ("features --data nope --out f.parquet", "signalbox: nope"),
        ("config show --stage x", "signalbox: no option --stage"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_slow(run: Run, words: str, line: str) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(line), err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    code, out, err = run(*words.split(), "--json")
    assert code == 2
    assert " ".join(json.loads(out)["detail"].split()) in err  # a problem as JSON alone, and the line all the same


def test_a_period_outside_the_candles_names_those_there_are(run: Run, tmp_path: Path) -> None:
    from tests.unit.training.synthetic import walk, write_candles  # noqa: PLC0415 - numpy and pyarrow

    write_candles(tmp_path / "candles", walk(3))
    code, _, err = run("features", "--data", "candles", "--out", "f.parquet", "--start", "2031-01-01")
    assert code == 2
    assert err.startswith("signalbox: --start 2031-01-01T00:00 is too late: candles has candles from 20")


def test_words_for_every_command_may_stand_anywhere(run: Run) -> None:
    assert run("--no-color", "config", "show", "--json")[0] == 0
    code, out, err = run("config", "show", "--quiet", "--no-color")
    assert (code, err) == (0, "")
    assert "stage" in out
    code, out, err = run("accounts", "list", "--quiet")
    assert code == 2  # an error is told all the same
    assert err.startswith("signalbox: no stage is named")
    assert "Traceback" in run("accounts", "list", "--verbose")[2]
    assert run("--version")[1].startswith("signalbox ")


def test_each_setting_says_where_it_comes_from(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "signalbox.toml").write_text('stage = "prod"\nregion = "eu-central-1"\ndata = "lake"\n')
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = {one["name"]: (one["value"], one["source"]) for one in json.loads(run("config", "show", "--json")[1])["settings"]}
    assert found["stage"] == ("prod", str(tmp_path / "signalbox.toml"))
    assert found["region"] == ("eu-west-1", "AWS_REGION")
    assert found["data"] == (str(tmp_path / "lake"), str(tmp_path / "signalbox.toml"))
    assert found["profile"] == (None, "default")
    assert load_settings().stage == "prod"
    assert "stage prod" in run("accounts", "trades", "x")[2]


@pytest.mark.parametrize("content", ["stge = 'x'\n", "stage = 1\n", "stage = \n", "\xff"])
def test_a_settings_file_that_is_wrong_is_one_line(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "signalbox.toml").write_bytes(content.encode("latin-1"))
    code, _, err = run("accounts", "list")
    assert code == 2
    assert err.startswith(f"signalbox: {tmp_path / 'signalbox.toml'}: ")
    assert err.count("\n") == 1


def _child(code: str, **env: str) -> str:
    settings = load_settings()
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.repository, env={**settings.base_env, **env}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_the_help_of_the_whole_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv=['signalbox','--help']\n"
        "from local.cli.command import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code\n"
        "heavy = {'pydantic', 'rich', 'boto3', 'httpx', 'numpy', 'pyarrow', 'psycopg', 'logging', 'asyncio', 'training',\n"
        "  'signalbox.problems', *(f'local.cli.{n}' for n in ('demo', 'accounts', 'bench', 'options'))} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    text = _child(code)
    groups = dict.fromkeys(entry.group for entry in COMMANDS)
    assert [line[:-1] for line in text.splitlines() if line[:-1] in groups] == list(groups)


def test_a_shell_completes_commands_and_options() -> None:
    code = "import sys; sys.argv=['signalbox']\nfrom local.cli.command import main\nmain()"
    asked = {"_SIGNALBOX_COMPLETE": "complete_bash"}
    assert _child(code, **asked, COMP_WORDS="signalbox acc", COMP_CWORD="1").split() == ["accounts"]
    assert "lots-method" in _child(code, **asked, COMP_WORDS="signalbox accounts lo", COMP_CWORD="2").split()
    assert "--hours" in _child(code, **asked, COMP_WORDS="signalbox demo --ho", COMP_CWORD="2").split()


def test_a_reader_that_closes_the_pipe_is_no_failure(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from local.cli.command import main; main()",
        "data",
        "report",
        "--data",
        str(tmp_path / "lake"),
    ]
    write_candles(tmp_path / "lake", walk(1))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait(60)) == ("", 0)


def test_ctrl_c_is_said_and_has_its_own_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("local.cli.command.Commands.get_command", interrupted)
    assert run("config show") == (130, "", "signalbox: interrupted\n")
