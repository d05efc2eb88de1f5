"""A bundle exported for another server scores there as here. Really run where `make serving` made its environment."""

from __future__ import annotations

import json
import pickletools
import subprocess
from pathlib import Path

import numpy as np
import pytest

from local.library.errors import PackageError
from local.library.exported.signalbox_ensemble import StandaloneEnsemble
from local.library.exports import FORMATS, write_export
from local.settings import REPOSITORY
from signalbox.inference import load_bundle
from signalbox.signals.signal import Thresholds, classify
from tests.unit.inference.tiny_bundle import windows, write_bundle, write_window_bundle

STARTER = REPOSITORY / "training" / "starter_bundle"
SERVING = REPOSITORY / ".venv-serving" / "bin" / "python"
SCORE = {
    "mlflow": """
import json, sys, numpy as np, mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(np.array(json.load(sys.stdin))).tolist()))
""",
    "bentoml": """
import json, sys, bentoml
service = bentoml.load(sys.argv[1])()
known = service.ensemble.manifest["feature_schema"]["hash"]
rows = json.load(sys.stdin)
try:
    service.score("0" * 64, rows)
    raise SystemExit("another schema was scored")
except bentoml.exceptions.InvalidArgument as error:
    assert known in str(error) and "0" * 64 in str(error)
print(json.dumps(service.score(known, rows)["probability_up"]))
""",
}


def test_the_standalone_scorer_is_the_ensemble(tmp_path: Path) -> None:
    for folder in (STARTER, write_window_bundle(tmp_path / "windows", {3: 4, 5: 2}, row=0.5), write_bundle(tmp_path / "tiny")):
        ours, theirs = load_bundle(folder), StandaloneEnsemble(folder)
        assert (theirs.window_bars, theirs.features) == (ours.window_bars, len(ours.schema.names))
        rows = windows(20, ours.window_bars, seed=5)
        found = theirs.predict(rows)
        np.testing.assert_allclose(found, ours.predict(rows), rtol=0, atol=1e-12)
        limits = Thresholds(ours.issue_margin, ours.high_margin)
        assert theirs.tiers(found) == [classify(one, limits)[1].value for one in found.tolist()]
        assert theirs.predict(rows[:0]).shape == (0,)
        for wrong in (rows[:, :, 1:], rows * np.inf):
            with pytest.raises(ValueError, match=r"expected \(k|finite"), np.errstate(invalid="ignore"):
                theirs.predict(wrong)


def test_a_changed_file_of_an_export_is_not_served(tmp_path: Path) -> None:
    write_export("mlflow", write_bundle(tmp_path / "tiny"), tmp_path / "out")
    graph = tmp_path / "out" / "bundle" / "linear-1.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=r"linear-1\.onnx"):
        StandaloneEnsemble(tmp_path / "out" / "bundle")


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_an_export_holds_no_pickle_and_replaces_nothing(form: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "tiny")
    write_export(form, bundle, tmp_path / "out")
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert path.suffix not in {".pkl", ".pickle", ".joblib"}
            with pytest.raises(Exception, match=r"."):
                list(pickletools.genops(path.read_bytes()))
    with pytest.raises(PackageError, match="is in use"):
        write_export(form, bundle, tmp_path / "out")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not SERVING.exists(), reason="NOT RUN: bentoml and mlflow are not installed; run `make serving`")
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_other_server_scores_alike(form: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_export(form, STARTER, out)
    with np.load(STARTER / "golden.npz", allow_pickle=False) as golden:
        rows, wanted = golden["features"].astype(np.float64), golden["probability_up"]
    found = subprocess.run(
        [SERVING, "-c", SCORE[form], out],
        input=json.dumps(rows.tolist()),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-2000:]
    np.testing.assert_allclose(json.loads(found.stdout.splitlines()[-1]), wanted, rtol=0, atol=1e-6)
