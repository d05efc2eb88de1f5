"""AWS behind the domain's ports: the bus, the cursors, delivery records, bundles, the database's IAM token."""
