"""Orders: identities, the state machine, reconciliation with a venue, paper matching, execution quality. Pure."""
