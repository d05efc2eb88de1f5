"""`signalbox data import`: reads files, writes days and prints the result. Exit codes: see EXIT_CODES; 2 if no file is read."""

from __future__ import annotations

import json
import sys
from typing import Final

from rich.console import Console

from local.cli.data.importing.request import ImportRequest
from local.cli.data.importing.run import ImportEnding, run_import
from local.cli.data.importing.view import ImportConsole, show_result, to_json
from signalbox.adapters.lake.lake import Lake
from signalbox.adapters.lake.stores import FolderStore

EXIT_CODES: Final = {
    ImportEnding.OK: 0,
    ImportEnding.CONFLICTS: 1,
    ImportEnding.REFUSED: 1,
    ImportEnding.STORAGE_FAILED: 4,
    ImportEnding.INTERRUPTED: 130,
}


def run_data_import(request: ImportRequest, *, json_output: bool) -> int:
    """Import and return the exit code. Raises DataError when no file is read."""
    console = Console(stderr=json_output)
    with ImportConsole(console) as view:
        result = run_import(request, Lake(FolderStore(request.out)), view)
    if json_output:
        sys.stdout.write(json.dumps(to_json(result), indent=2) + "\n")
    show_result(console, result)
    return EXIT_CODES[result.ending]
