"""AWS adapters of the domain's ports, such as the bus, cursors, delivery records, bundles and the database's IAM token."""
