"""Programs that write pages of docs/ from the code: `python -m tools.NAME`. A test fails when a page is stale."""
