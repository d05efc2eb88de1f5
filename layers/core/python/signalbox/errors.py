"""The root of the error tree. Errors are bugs or bad data; a refused symbol or order is a value, not an error.

SignalboxError
├── MarketDataError          market: a candle or series that breaks its own contract
├── CompactionError          market: days of the lake that could not be written
├── LakeStorageError         adapters.lake: a folder or bucket that did not take or give a file
├── VenueError               adapters.venues: an exchange that did not answer as it should
├── FeatureSchemaError       features: bars or values that do not fit the schema
├── BundleError              inference: a model bundle that may not be loaded
├── RiskError                risk: a number or fact no decision may be made on, an approval built by hand
├── OrderError               orders: an event an order cannot take, terms that contradict each other
├── PortfolioError           portfolio: an entry that cannot be booked
├── LedgerError              ledger_errors: a ledger that refused or lost a connection
├── MessengerError           chat: a message that was not delivered
└── SettingsError            bootstrap: an environment that lacks a value
"""


class SignalboxError(Exception):
    """Anything this project raises on purpose."""
