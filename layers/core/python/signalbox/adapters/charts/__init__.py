"""Pictures of charts by matplotlib, which is in a layer of its own."""
