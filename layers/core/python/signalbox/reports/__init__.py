"""Reports for people, as CSV tables and HTML pages with one look."""
