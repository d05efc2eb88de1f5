"""The commands from key to catalogue, as two people use them who share nothing but files."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from local.cli.command import main
from signalbox.inference import load_bundle, pack_bundle
from tests.unit.inference.tiny_bundle import write_bundle

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `signalbox library ...` as a person with a state of their own; return what --json printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIGNALBOX_STAGE", "SIGNALBOX_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def call(who: str, *words: str, code: int = 0, stdin: str = "") -> dict[str, Any]:
        monkeypatch.setenv("SIGNALBOX_STATE", str(tmp_path / who))
        monkeypatch.setattr(sys, "argv", ["signalbox", "library", *words, "--json"])
        monkeypatch.setattr(sys, "stdin", StringIO(stdin))
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        assert left.value.code == code, err
        assert err.count("\n") == (1 if code else 0)
        found: dict[str, Any] = json.loads(out)
        return found

    return call


def test_a_model_goes_from_anna_to_bert(run: Run, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    anna = run("anna", "keys", "new", "--name", "anna")["key"]
    assert stat.S_IMODE((tmp_path / "anna" / "library" / "publisher.pem").stat().st_mode) == 0o600
    facts = run("anna", "export", "tiny", "--out", "tiny.signalbox", "--licence", "MIT")
    assert (facts["model"], facts["versions"], facts["signed_by"]) == ("tiny", [1], anna)

    refused = run("bert", "import", "tiny.signalbox", "--out", "taken", code=2)
    assert refused["type"] == "urn:signalbox:problem:untrusted-publisher"
    assert f"signalbox library keys trust {anna} --name OWNER" in refused["detail"]
    assert not (tmp_path / "taken").exists()
    run("bert", "keys", "trust", anna, "--name", "anna")
    taken = run("bert", "import", "tiny.signalbox", "--out", "taken")
    assert (taken["new"], taken["licence"]) == (True, "MIT")
    (folder,) = taken["bundles"]
    assert pack_bundle(Path(folder)) == pack_bundle(bundle)
    assert load_bundle(Path(folder)).name == "tiny"

    listed = run("anna", "catalogue", "tiny.signalbox", "--out", "catalogue")["models"]
    assert [(one["model"], one["qualifies"]) for one in listed] == [("tiny", False)]
    assert run("bert", "add", "catalogue#tiny", "--out", "added")["new"]
    run("bert", "keys", "revoke", anna, "--why", "the laptop was stolen")
    gone = run("bert", "add", "catalogue#tiny", "--out", "again", code=2)
    assert "the laptop was stolen" in gone["detail"]
    (kept,) = run("bert", "keys", "list")["keys"]
    assert (kept["key"], kept["name"], kept["why"]) == (anna, "anna", "the laptop was stolen")


def test_a_key_with_a_passphrase_signs_only_with_it(run: Run, tmp_path: Path) -> None:
    write_bundle(tmp_path / "tiny")
    run("anna", "keys", "new", "--passphrase", stdin="correct horse\n")
    for typed, why in (("", "passphrase"), ("wrong\n", "the passphrase is wrong")):
        assert why in run("anna", "export", "tiny", "--out", "a.signalbox", stdin=typed, code=2)["detail"]
        assert not (tmp_path / "a.signalbox").exists()
    run("anna", "export", "tiny", "--out", "a.signalbox", stdin="correct horse\n")
    assert "exists" in run("anna", "keys", "new", code=2)["detail"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("export", "tiny", "--out", "x", "--format", "pickle"), "--format: expected package, bentoml or mlflow"),
        (("export", "a/b", "--out", "x"), "MODEL: expected NAME"),
        (("export", "tiny", "--out", "x", "--stage", "dev"), "--stage: tiny is a folder"),
        (("export", "tiny", "--out", "x", "--database", "host=x"), "--database: tiny is a folder"),
        (("export", "tiny", "--out", "x", "--licence", ""), "licence"),
        (("export", "other", "--out", "x"), "no stage is named"),
        (("import", "absent", "--out", "x"), "cannot be read"),
        (("import", "tiny/manifest.json", "--out", "x"), "damaged or no package"),
        (("import", "tiny/manifest.json", "--out", "x", "--stage", "dev"), "--stage: --out names a folder"),
        (("catalogue", "tiny"), "--out is missing"),
        (("add", "https://127.0.0.1/", "--out", "x"), "public internet"),
        (("add", "tiny", "--out", "x"), "no index.json in tiny"),
        (("keys", "trust", "nonsense", "--name", "x"), "expected a public key"),
        (("keys", "new", "--name", " "), "name"),
    ],
)
def test_bad_words_are_one_line_and_write_nothing(run: Run, tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    write_bundle(tmp_path / "tiny")
    run("anna", "keys", "new", "--key", "other.pem")
    before = sorted(path.name for path in tmp_path.iterdir())
    given = words if words[0] in {"import", "add", "keys"} else (*words, "--key", "other.pem")
    assert why in run("anna", *given, code=2)["detail"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before
