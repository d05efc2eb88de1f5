"""Pages for people: one look for every report."""
