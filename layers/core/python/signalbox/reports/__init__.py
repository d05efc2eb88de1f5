"""Reports for people, as CSV tables and HTML pages of one style."""
