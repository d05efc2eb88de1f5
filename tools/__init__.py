"""Programs that write pages of docs/ from the code: `python -m tools.NAME`. A test fails if a page is out of date."""
