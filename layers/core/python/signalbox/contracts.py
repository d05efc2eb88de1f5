"""Names shared by the functions, the templates and the local cloud. Each is written once, here.

The module has constants and look-ups only. It imports nothing beyond the standard library, so that `cdk` may import it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

PRODUCT: Final = "signalbox"
EVENT_SOURCE: Final = "signalbox"  # `source` of every event on the bus
METRIC_NAMESPACE: Final = "Signalbox"
SYMBOLS: Final = ("BTC-USD", "ETH-USD", "SOL-USD")
CYCLE_MINUTES: Final = 5
MAX_CHALLENGERS: Final = 10  # that a stage can allow; each costs memory and time of the cycle's function
BACKFILL_MINUTES: Final = 2_520  # collected when there is no cursor yet; at least the longest `history_bars` of any schema
BUNDLES_PREFIX: Final = "bundles"  # in the models bucket: accepted bundles
DUMPS_FOLDER: Final = "dumps"  # of the backups bucket; a folder a dump below it
TRAINING_PREFIX: Final = "training"  # in the models bucket: what training jobs read (other than candles) and write
APP_DATABASE_USER: Final = "signalbox_app"  # the shared user before each function had its own; it has no rights any more
READER_DATABASE_USER: Final = "signalbox_reader"  # the operator's tools: may read, cannot write
ADMIN_DATABASE_USER: Final = "signalbox_admin"  # owns the schema; only migrate_database uses it
DATABASE_NAME: Final = "signalbox"


class EventType(StrEnum):
    """`detail-type` of each event on the bus; the payloads are in `signalbox.events`."""

    CANDLES_CLOSED = "CandlesClosed"
    CYCLE_DECIDED = "CycleDecided"
    SIGNAL_GENERATED = "SignalGenerated"
    SIGNAL_RESOLVED = "SignalResolved"
    MARKET_DATA_STALE = "MarketDataStale"
    MARKET_DATA_RECOVERED = "MarketDataRecovered"
    MODEL_REFUSED = "ModelRefused"
    ALERT_UNDELIVERABLE = "AlertUndeliverable"
    MODEL_REGISTERED = "ModelRegistered"
    MODEL_NOT_QUALIFIED = "ModelNotQualified"
    MODEL_EVALUATED = "ModelEvaluated"
    TRAINING_FAILED = "TrainingFailed"
    EVALUATION_FAILED = "EvaluationFailed"
    DEPLOYMENT_CHANGED = "DeploymentChanged"
    ACCOUNT_SUMMARISED = "AccountSummarised"
    TURN_MISSED = "TurnMissed"
    EXECUTION_REQUESTED = "ExecutionRequested"
    EXECUTION_REPORTED = "ExecutionReported"
    VENUE_VIEW_REQUESTED = "VenueViewRequested"
    VENUE_VIEW_REPORTED = "VenueViewReported"
    ORDER_REFUSED = "OrderRefused"
    VENUE_REFUSED = "VenueRefused"
    TRADE_OPENED = "TradeOpened"
    TRADE_CLOSED = "TradeClosed"
    EXIT_FAILED = "ExitFailed"
    STOP_PASSED = "StopPassed"
    ACCOUNT_REVIEW_DUE = "AccountReviewDue"
    RISK_WARNING = "RiskWarning"
    ACCOUNT_EXHAUSTED = "AccountExhausted"
    TRADING_HALTED = "TradingHalted"
    TRADING_RESUMED = "TradingResumed"
    RULE_BREACHED = "RuleBreached"
    TARGET_REACHED = "TargetReached"


ROUTED_EVENTS: Final = (  # each concerns one account; route_events takes it to the account's message group
    EventType.EXECUTION_REQUESTED,
    EventType.VENUE_VIEW_REQUESTED,
    EventType.EXECUTION_REPORTED,
    EventType.VENUE_VIEW_REPORTED,
    EventType.TURN_MISSED,
)


REVIEW_DELAY_SECONDS: Final = 5  # delay of the queue in which an AccountReviewDue waits
ACKNOWLEDGE_SECONDS: Final = 120  # how long an agent has to acknowledge a command: enough to restart it, and no more


class Function(StrEnum):
    """The deployed functions; each is a folder of `lambdas/`."""

    COLLECT_CANDLES = "collect_candles"
    GENERATE_SIGNALS = "generate_signals"
    SEND_ALERTS = "send_alerts"
    RELAY_OUTBOX = "relay_outbox"
    FORWARD_EVENTS = "forward_events"
    ROUTE_EVENTS = "route_events"
    MANAGE_ORDERS = "manage_orders"
    MONITOR_RISK = "monitor_risk"
    EXECUTE_ORDERS = "execute_orders"
    COMPACT_CANDLES = "compact_candles"
    COLLECT_ALTERNATIVE = "collect_alternative"
    PUBLISH_REPORTS = "publish_reports"
    START_TRAINING = "start_training"
    REGISTER_MODEL = "register_model"
    LIBRARY_API = "library_api"
    SCORE_SIGNALS = "score_signals"
    MIGRATE_DATABASE = "migrate_database"
    PREPARE_DATABASE = "prepare_database"
    DUMP_DATABASE = "dump_database"
    RESTORE_DATABASE = "restore_database"
    QUERY_LEDGER = "query_ledger"
    TELEGRAM_WEBHOOK = "telegram_webhook"
    TELEGRAM_BOT = "telegram_bot"


SUMMARY_JOB: Final = "summarise_accounts"  # of the second schedule of publish_reports
LIVE_ALIAS: Final = "live"  # of every function: schedules, queues and the API invoke what it points to


def upload_key(sha256: str) -> str:
    """Return where in the models bucket an uploaded bundle waits to be registered."""
    return f"{TRAINING_PREFIX}/uploads/{sha256}.zip"


def function_name(stage: str, function: Function) -> str:
    """Return the deployed name, for example `signalbox-prod-collect-candles`."""
    return f"{PRODUCT}-{stage}-{function.value.replace('_', '-')}"


def database_user(function: Function) -> str:
    """Return the database user of a function that uses the ledger, such as `signalbox_manage_orders`. No other shares it."""
    return f"{PRODUCT}_{function.value}"


class DatabaseParameter(StrEnum):
    """Parameters in Parameter Store that name the ledger's database instance. After a restore they name the restored one."""

    ADDRESS = "Address"
    RESOURCE_ID = "ResourceId"  # what rds-db:connect names


def database_parameter_name(stage: str, which: DatabaseParameter) -> str:
    """Return the name of a parameter, for example `/signalbox/prod/ledger/Address`."""
    return f"/{PRODUCT}/{stage}/ledger/{which.value}"


class SealKey(StrEnum):
    """The keys that seal events, by their name in the table of signing keys."""

    REQUESTS = "requests"  # of the ledger to the executor
    REPORTS = "reports"  # of the executor to the ledger
    PEOPLE = "people"  # of the bot to the orders API and the library API: whose command it is


class MailboxQueue(StrEnum):
    """The two queues of an MT5 account's mailbox."""

    COMMANDS = "commands"
    REPORTS = "reports"


def mailbox_queue_name(stage: str, account: str, queue: MailboxQueue) -> str:
    """Return the deployed name of a queue in an account's mailbox. The name tells a reader whose messages it holds."""
    return f"{_mailbox(stage)}{account}-{queue}.fifo"


def mailbox_key_name(stage: str, account: str) -> str:
    """Return the name of the secret that holds the signing key of an account's mailbox."""
    return f"{_mailbox(stage)}{account}-key"


def reporting_account(stage: str, queue_name: str) -> str | None:
    """Return the account whose reports a queue holds, or None if it is not a report queue."""
    before, after = _mailbox(stage), f"-{MailboxQueue.REPORTS}.fifo"
    if not queue_name.startswith(before) or not queue_name.endswith(after):
        return None
    return queue_name[len(before) : -len(after)]


def _mailbox(stage: str) -> str:
    return f"{PRODUCT}-{stage}-mt5-"


_LEDGER_OF_ACCOUNTS: Final = (Function.MANAGE_ORDERS, Function.MONITOR_RISK, Function.RELAY_OUTBOX)

# Which functions may emit an event of each type; the templates build their grants from it. Functions of the edge put it on the
# bus. Functions of the ledger put it into the table of outgoing events, from where forward_events brings it to the bus.
EMITTERS: Final[Mapping[EventType, tuple[Function, ...]]] = {
    EventType.CANDLES_CLOSED: (Function.COLLECT_CANDLES,),
    **dict.fromkeys(
        (
            EventType.CYCLE_DECIDED,
            EventType.SIGNAL_GENERATED,
            EventType.SIGNAL_RESOLVED,
            EventType.MARKET_DATA_STALE,
            EventType.MARKET_DATA_RECOVERED,
            EventType.MODEL_REFUSED,
        ),
        (Function.GENERATE_SIGNALS, Function.RELAY_OUTBOX),
    ),
    EventType.ALERT_UNDELIVERABLE: (Function.SEND_ALERTS,),
    **dict.fromkeys(
        (
            EventType.MODEL_NOT_QUALIFIED,
            EventType.MODEL_EVALUATED,
            EventType.TRAINING_FAILED,
            EventType.EVALUATION_FAILED,
        ),
        (Function.REGISTER_MODEL, Function.RELAY_OUTBOX),
    ),
    EventType.MODEL_REGISTERED: (Function.REGISTER_MODEL, Function.LIBRARY_API, Function.RELAY_OUTBOX),
    EventType.DEPLOYMENT_CHANGED: (Function.GENERATE_SIGNALS, Function.LIBRARY_API, Function.RELAY_OUTBOX),
    EventType.ACCOUNT_SUMMARISED: (Function.PUBLISH_REPORTS, Function.RELAY_OUTBOX),
    EventType.TURN_MISSED: (Function.MANAGE_ORDERS, Function.RELAY_OUTBOX),
    **dict.fromkeys((EventType.EXECUTION_REPORTED, EventType.VENUE_VIEW_REPORTED), (Function.EXECUTE_ORDERS,)),
    **dict.fromkeys(
        (
            EventType.EXECUTION_REQUESTED,
            EventType.VENUE_VIEW_REQUESTED,
            EventType.ORDER_REFUSED,
            EventType.VENUE_REFUSED,
            EventType.TRADE_OPENED,
            EventType.TRADE_CLOSED,
            EventType.EXIT_FAILED,
            EventType.STOP_PASSED,
            EventType.ACCOUNT_REVIEW_DUE,
            EventType.RISK_WARNING,
            EventType.ACCOUNT_EXHAUSTED,
            EventType.TRADING_HALTED,
            EventType.TRADING_RESUMED,
            EventType.RULE_BREACHED,
            EventType.TARGET_REACHED,
        ),
        _LEDGER_OF_ACCOUNTS,
    ),
}
# events of the ledger: the relay may emit each of them
FORWARDED_EVENTS: Final = tuple(kind for kind in EventType if Function.RELAY_OUTBOX in EMITTERS[kind])
SIGNED_REQUESTS: Final = (EventType.EXECUTION_REQUESTED, EventType.VENUE_VIEW_REQUESTED)  # from the ledger to the executor
SIGNED_REPORTS: Final = (EventType.EXECUTION_REPORTED, EventType.VENUE_VIEW_REPORTED)  # from the executor to the ledger


def emitted_by(function: Function) -> tuple[EventType, ...]:
    """Return the event types that a function may emit."""
    return tuple(kind for kind in EventType if function in EMITTERS[kind])


class Env(StrEnum):
    """Environment variables of the functions. None holds a secret: secrets and keys are named and read at run time."""

    STAGE = "SIGNALBOX_STAGE"
    EVENT_BUS_NAME = "EVENT_BUS_NAME"
    OUTGOING_EVENTS_TABLE = "OUTGOING_EVENTS_TABLE"
    SYMBOLS = "SYMBOLS"  # comma-separated, canonical (BTC-USD)
    DATABASE_HOST = "DATABASE_HOST"  # a host name, or a socket folder in the local stage
    DATABASE_PORT = "DATABASE_PORT"
    DATABASE_NAME = "DATABASE_NAME"
    DATABASE_USER = "DATABASE_USER"
    DATABASE_SSLMODE = "DATABASE_SSLMODE"
    DATABASE_CA_FILE = "DATABASE_CA_FILE"  # certificates that sign the database's; needed by verify-ca and verify-full
    SIGNAL_LIMITS = "SIGNAL_LIMITS"  # JSON of signals.rate_limit.SignalLimits
    CHALLENGERS = "CHALLENGERS"  # how many models may decide beside the one that serves
    MODELS_BUCKET = "MODELS_BUCKET"
    MARKET_DATA_BUCKET = "MARKET_DATA_BUCKET"
    REPORTS_BUCKET = "REPORTS_BUCKET"
    BACKUPS_BUCKET = "BACKUPS_BUCKET"
    STARTER_BUNDLE_BUCKET = "STARTER_BUNDLE_BUCKET"  # the bundle shipped with the deployment, used until another is deployed
    STARTER_BUNDLE_KEY = "STARTER_BUNDLE_KEY"
    ACCOUNTS = "ACCOUNTS"  # names of paper accounts to open, comma-separated; may be empty
    OWNERS = "OWNERS"  # principals that own the stage's accounts, comma-separated; may be empty
    VENUE = "VENUE"
    FALLBACK_VENUES = "FALLBACK_VENUES"  # used in this order when VENUE is down, comma-separated; may be empty
    VENUE_URL = "VENUE_URL"  # empty: use the venue's own address
    LOOK_AGAIN_SECONDS = "LOOK_AGAIN_SECONDS"  # pauses before a venue is asked again for absent bars, comma-separated
    ALTERNATIVE_SOURCES = "ALTERNATIVE_SOURCES"  # names of sources beside candles, comma-separated; may be empty
    COLLECTION_CURSOR_TABLE = "COLLECTION_CURSOR_TABLE"
    IDEMPOTENCY_TABLE = "IDEMPOTENCY_TABLE"
    TELEGRAM_SECRET_ARN = "TELEGRAM_SECRET_ARN"  # noqa: S105 - the name of a variable that holds an ARN
    TELEGRAM_URL = "TELEGRAM_URL"
    EXCHANGE_SECRET_ARN = "EXCHANGE_SECRET_ARN"  # noqa: S105 - as above
    SIGNING_KEYS_TABLE = "SIGNING_KEYS_TABLE"
    WEBHOOK_SECRET_ARN = "WEBHOOK_SECRET_ARN"  # noqa: S105 - as above
    CHAT_TABLE = "CHAT_TABLE"
    UPDATES_QUEUE_URL = "UPDATES_QUEUE_URL"
    QUERY_FUNCTION_NAME = "QUERY_FUNCTION_NAME"
    ORDERS_API_URL = "ORDERS_API_URL"
    LIBRARY_API_URL = "LIBRARY_API_URL"
    ORDERS_API_VIA = "ORDERS_API_VIA"  # empty: the API's own address
    MT5_ACCOUNTS = "MT5_ACCOUNTS"  # names of the accounts with a mailbox, comma-separated; may be empty
    MT5_CHECKS_QUEUE_URL = "MT5_CHECKS_QUEUE_URL"
    KILL_SWITCH_QUEUE_URL = "KILL_SWITCH_QUEUE_URL"
    EXECUTION_QUEUE_URL = "EXECUTION_QUEUE_URL"
    TRADING_QUEUE_URL = "TRADING_QUEUE_URL"
    DELIVERIES_QUEUE_URL = "DELIVERIES_QUEUE_URL"
    MPLCONFIGDIR = "MPLCONFIGDIR"  # where matplotlib keeps its list of fonts; read by matplotlib itself
    ALARM_TOPIC_ARN = "ALARM_TOPIC_ARN"  # the topic whose subscribers get the alarms by e-mail, and critical alerts
    KILL_SWITCH_QUEUE_ARN = "KILL_SWITCH_QUEUE_ARN"
    MASTER_SECRET_ARN = "MASTER_SECRET_ARN"  # noqa: S105 - as above
    MIGRATE_FUNCTION_NAME = "MIGRATE_FUNCTION_NAME"
    TRAINING_PLAN = "TRAINING_PLAN"  # JSON, signalbox.library.plan


class StackOutput(StrEnum):
    """Keys of the CloudFormation outputs that the operator's tools read."""

    EVENT_BUS_NAME = "EventBusName"
    MARKET_DATA_BUCKET = "MarketDataBucket"
    MODELS_BUCKET = "ModelsBucket"
    REPORTS_BUCKET = "ReportsBucket"
    BACKUPS_BUCKET = "BackupsBucket"
    MASTER_SECRET_ARN = "MasterSecretArn"  # noqa: S105 - an output's key
    TELEGRAM_SECRET_ARN = "TelegramSecretArn"  # noqa: S105 - an output's key
    EXCHANGE_SECRET_ARN = "ExchangeSecretArn"  # noqa: S105 - an output's key
    SIGNING_KEYS_TABLE = "SigningKeysTable"
    OUTGOING_EVENTS_TABLE = "OutgoingEventsTable"
    EXECUTION_QUEUE_URL = "ExecutionQueueUrl"
    EXECUTION_DLQ_URL = "ExecutionDeadLetterQueueUrl"
    MT5_CHECKS_QUEUE_URL = "Mt5ChecksQueueUrl"
    MT5_CHECKS_DLQ_URL = "Mt5ChecksDeadLetterQueueUrl"
    WEBHOOK_SECRET_ARN = "WebhookSecretArn"  # noqa: S105 - an output's key
    WEBHOOK_URL = "WebhookUrl"
    CHAT_TABLE = "ChatTable"
    UPDATES_QUEUE_URL = "UpdatesQueueUrl"
    UPDATES_DLQ_URL = "UpdatesDeadLetterQueueUrl"
    DATABASE_ADDRESS = "DatabaseAddress"
    SCHEDULE_GROUP = "ScheduleGroup"
    ORDERS_API_URL = "OrdersApiUrl"
    LIBRARY_API_URL = "LibraryApiUrl"
    SCORING_API_URL = "ScoringApiUrl"
    TRADING_QUEUE_URL = "TradingQueueUrl"
    TRADING_DLQ_URL = "TradingDeadLetterQueueUrl"
    KILL_SWITCH_QUEUE_URL = "KillSwitchQueueUrl"
    KILL_SWITCH_DLQ_URL = "KillSwitchDeadLetterQueueUrl"
    ROUTING_QUEUE_URL = "RoutingQueueUrl"
    ROUTING_DLQ_URL = "RoutingDeadLetterQueueUrl"
    REVIEWS_QUEUE_URL = "ReviewsQueueUrl"
    REVIEWS_DLQ_URL = "ReviewsDeadLetterQueueUrl"
    SIGNALS_QUEUE_URL = "SignalsQueueUrl"
    ALERTS_QUEUE_URL = "AlertsQueueUrl"
    SIGNALS_DLQ_URL = "SignalsDeadLetterQueueUrl"
    ALERTS_DLQ_URL = "AlertsDeadLetterQueueUrl"
    DELIVERIES_QUEUE_URL = "DeliveriesQueueUrl"
    DELIVERIES_DLQ_URL = "DeliveriesDeadLetterQueueUrl"


class Metric(StrEnum):
    """CloudWatch metrics that the functions emit (embedded metric format) and the alarms watch."""

    CANDLES_COLLECTED = "CandlesCollected"
    CANDLES_REFUSED = "CandlesRefused"
    CANDLES_CONFLICTING = "CandlesConflicting"
    CANDLES_REVISED = "CandlesRevised"
    EMPTY_MINUTES = "EmptyMinutes"
    VENUE_FAILURES = "VenueFailures"
    FALLBACK_SYMBOLS = "FallbackSymbols"
    FALLBACK_FAILURES = "FallbackFailures"
    SYMBOLS_REFUSED = "SymbolsRefused"
    SIGNALS_ISSUED = "SignalsIssued"
    DUPLICATES_IGNORED = "DuplicatesIgnored"
    CYCLE_DURATION = "CycleDuration"
    MODEL_REFUSED = "ModelRefused"
    OUTBOX_PUBLISHED = "OutboxPublished"
    OUTBOX_OLDEST_AGE = "OutboxOldestAge"
    DAYS_COMPACTED = "DaysCompacted"
    CANDLES_COMPACTED = "CandlesCompacted"
    CANDLES_MISSING = "CandlesMissing"
    LAKE_FILES_QUARANTINED = "LakeFilesQuarantined"
    OBSERVATIONS_ADDED = "ObservationsAdded"
    OBSERVATIONS_REFUSED = "ObservationsRefused"
    ALTERNATIVE_FAILURES = "AlternativeFailures"
    REPORTS_PUBLISHED = "ReportsPublished"
    LEDGER_DUMPED = "LedgerDumped"
    ORDERS_UNMEASURED = "OrdersUnmeasured"
    ORDERS_REFUSED = "OrdersRefused"
    SIGNALS_HELD_BACK = "SignalsHeldBack"
    TRADES_OPENED = "TradesOpened"
    TRADES_CLOSED = "TradesClosed"
    TRADING_HALTS = "TradingHalts"
    EXITS_FAILED = "ExitsFailed"
    RULES_BREACHED = "RulesBreached"
    EVENTS_REFUSED = "EventsRefused"
    ACCESS_REFUSED = "AccessRefused"
    TURNS_MISSED = "TurnsMissed"
    VIEWS_FAILED = "ViewsFailed"
    VENUE_DIFFERENCES = "VenueDifferences"
    OTHERS_AT_VENUE = "OthersAtVenue"
    ACCOUNTS_NOT_OPENED = "AccountsNotOpened"
    ORDERS_SENT = "OrdersSent"
    ORDERS_UNCONFIRMED = "OrdersUnconfirmed"
    VENUE_REFUSALS = "VenueRefusals"
    EXECUTIONS_POSTPONED = "ExecutionsPostponed"
    ENVELOPES_REFUSED = "EnvelopesRefused"
    REQUESTS_REFUSED = "RequestsRefused"
    REQUESTS_EXPIRED = "RequestsExpired"
    REPORTS_REFUSED = "ReportsRefused"
    COMMANDS_REFUSED = "CommandsRefused"
    COMMANDS_UNACKNOWLEDGED = "CommandsUnacknowledged"
    ALERTS_SENT = "AlertsSent"
    ALERTS_POSTPONED = "AlertsPostponed"
    ALERTS_UNDELIVERABLE = "AlertsUndeliverable"
    ALERTS_MAILED = "AlertsMailed"
    CHARTS_MISSING = "ChartsMissing"
    CHAT_SETTINGS_REFUSED = "ChatSettingsRefused"
    CHATS_MOVED = "ChatsMoved"
    UPDATES_ACCEPTED = "UpdatesAccepted"
    STRANGERS_IGNORED = "StrangersIgnored"
    WEBHOOK_REFUSED = "WebhookRefused"
    ANSWERS_SENT = "AnswersSent"
    ANSWERS_LOST = "AnswersLost"
    MODELS_REGISTERED = "ModelsRegistered"
    MODELS_NOT_QUALIFIED = "ModelsNotQualified"
    MODELS_EVALUATED = "ModelsEvaluated"
    TRAININGS_FAILED = "TrainingsFailed"
    EVALUATIONS_FAILED = "EvaluationsFailed"
