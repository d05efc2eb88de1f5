"""The ledger on PostgreSQL: psycopg 3, plain SQL, forward migrations. Start at `ledger.py`; `errors.py` has the errors."""
