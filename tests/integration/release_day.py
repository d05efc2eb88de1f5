"""A short day of the handlers of one release, each as Lambda calls it, with the library of that release.

`python -P release_day.py ROOT SOCKETS DATABASE` imports `ROOT/lambdas/*/handler.py`, drives them on the migrated DATABASE, and
prints what they did as JSON. It speaks to them in messages alone, because the library is of another release than this file, and
the release before has to take them as this one does. PostgreSQL is real, AWS is moto, Telegram answers from here.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import boto3
from moto import mock_aws
from typing_extensions import override

import signalbox

NOON: Final = datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
SYMBOLS: Final = {"BTC-USD": 60_000, "ETH-USD": 3_000, "SOL-USD": 100}
ACCOUNT: Final = "ftmo-2step-100k"
OWNER: Final = "arn:aws:iam::123456789012:user/trader"
HISTORY: Final = 2_400  # bars before the first cycle: more than the longest window of a feature
REGION: Final = "eu-central-1"


class Context:
    """The part of Lambda's context that handlers read."""

    function_name = "release"
    memory_limit_in_mb = 1769
    invoked_function_arn = f"arn:aws:lambda:{REGION}:123456789012:function:release"
    aws_request_id = "00000000-0000-0000-0000-000000000000"
    log_stream_name = "release"
    tenant_id = None

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class Messenger(BaseHTTPRequestHandler):
    """Telegram as far as an alert needs it."""

    sent: Final[list[str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.sent.append(f"{self.path.rsplit('/', 1)[-1]} {len(body)}")
        answer = {"ok": True, "result": {"message_id": len(self.sent), "date": 0, "chat": {"id": 7, "type": "private"}}}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    @override
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(root: Path, sockets: str, database: str) -> dict[str, Any]:
    """Run the day; return what each handler did."""
    with telegram() as url, mock_aws(), tempfile.TemporaryDirectory() as folder:
        shared = resources(root, url, folder) | {"DATABASE_HOST": sockets, "DATABASE_NAME": database}
        day = Day(root, shared)
        deployed = day.run("library_api", {"starter": True})
        first = day.run("generate_signals", batch(candles_closed(NOON, HISTORY)))
        second = day.run(
            "generate_signals", batch(candles_closed(NOON + timedelta(minutes=5), 5), at=NOON + timedelta(minutes=5))
        )
        accounts = day.run(
            "manage_orders", batch(*day.outgoing("CycleDecided", "SignalGenerated"), at=NOON + timedelta(minutes=5))
        )
        order = day.run("manage_orders", request("POST", "/orders", ORDER))
        watched = day.run("monitor_risk", {"job": "monitor-risk", "scheduled_at": (NOON + timedelta(minutes=7)).isoformat()})
        halted = day.run("manage_orders", request("POST", f"/accounts/{ACCOUNT}/halt", HALT))
        relayed = day.run("relay_outbox", {"job": "relay-outbox", "scheduled_at": (NOON + timedelta(minutes=8)).isoformat()})
        alerts = day.outgoing("SignalGenerated", "TradingHalted")
        fanned = day.run("send_alerts", batch(*alerts, at=NOON + timedelta(minutes=8)))
        delivered = day.run("send_alerts", batch(*day.deliveries(), at=NOON + timedelta(minutes=8), queue="deliveries.fifo"))
        night = {"job": "publish-reports", "scheduled_at": (NOON + timedelta(hours=16)).isoformat()}
        reports = day.run("publish_reports", night)
        return {
            "library": str(Path(signalbox.__file__).resolve()), "deployed": deployed["deployment"]["deployment"],
            "failures": [one["batchItemFailures"] for one in (first, second, accounts, fanned, delivered)],
            "order": order["statusCode"], "halt": halted["statusCode"], "answers": [order["body"], halted["body"]],
            "monitored": watched, "relayed": relayed, "reports": reports, "events": sorted(day.kinds()), "sent": Messenger.sent,
        }  # fmt: skip


ORDER: Final = {
    "account": ACCOUNT, "request_id": "req-0001", "requested_at": (NOON + timedelta(minutes=6)).isoformat(), "symbol": "BTC-USD",
    "side": "BUY", "type": "LIMIT", "quantity": "0.01", "limit_price": "59000",
}  # fmt: skip
HALT: Final = {
    "request_id": "req-0002", "requested_at": (NOON + timedelta(minutes=7)).isoformat(), "why": "a rehearsal",
}  # fmt: skip


class Day:
    """The functions of a release, and what they put into the table and the queue that others read."""

    def __init__(self, root: Path, shared: dict[str, str]) -> None:
        self._root, self._shared = root, shared
        self._handlers: dict[str, Any] = {}

    def run(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke a function, which is imported with its own environment at its first call."""
        if function not in self._handlers:
            os.environ.update(self._shared | {"DATABASE_USER": f"signalbox_{function}"})  # noqa: TID251 - as the template sets it
            spec = importlib.util.spec_from_file_location(f"handler_{function}", self._root / "lambdas" / function / "handler.py")
            if spec is None or spec.loader is None:
                raise FileNotFoundError(f"expected lambdas/{function}/handler.py in {self._root}")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            self._handlers[function] = module.handler
        with redirect_stdout(sys.stderr):
            return self._handlers[function](event, Context())

    def outgoing(self, *kinds: str) -> list[str]:
        """The messages that a rule of the bus would put into a queue, of the events that went out."""
        return [
            json.dumps({"source": "signalbox", "detail-type": item["event_type"]["S"], "detail": json.loads(item["detail"]["S"])})
            for item in self._items()
            if item["event_type"]["S"] in kinds
        ]

    def kinds(self) -> set[str]:
        return {item["event_type"]["S"] for item in self._items()}

    def deliveries(self) -> list[str]:
        sqs = boto3.client("sqs", region_name=REGION)
        url = self._shared["DELIVERIES_QUEUE_URL"]
        found: list[str] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
            for one in messages:
                found.append(one["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return found

    def _items(self) -> list[dict[str, Any]]:
        found = boto3.client("dynamodb", region_name=REGION).scan(TableName="outgoing")["Items"]
        return sorted(found, key=lambda item: str(item["created_at"]["S"]))


def batch(*bodies: str, at: datetime = NOON, queue: str = "work.fifo") -> dict[str, Any]:
    """A batch of a queue."""
    sent = str(int((at + timedelta(seconds=20)).timestamp() * 1000))
    return {
        "Records": [
            {
                "messageId": f"m{i}", "receiptHandle": f"r{i}", "body": body, "messageAttributes": {}, "awsRegion": REGION,
                "attributes": {
                    "ApproximateReceiveCount": "1", "MessageGroupId": "one", "SentTimestamp": sent, "SenderId": "AIDEXAMPLE",
                },
                "eventSource": "aws:sqs", "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:{queue}",
            }
            for i, body in enumerate(bodies)
        ]
    }  # fmt: skip


def candles_closed(cycle_at: datetime, count: int) -> str:
    """The message with the bars of a cycle: a wave, which every feature can be computed of."""

    def bar(base: int, open_time: datetime) -> dict[str, str]:
        minute = int(open_time.timestamp()) // 60
        price, after = (base * (1 + ((m * 7919 % 13) - 6 + (m // 5) % 9) / 10_000) for m in (minute, minute + 1))
        texts = (price, max(price, after) * 1.0002, min(price, after) * 0.9998, after)
        found = {name: f"{value:.2f}" for name, value in zip("ohlc", texts, strict=True)}
        return {"t": open_time.isoformat(), **found, "v": str(5 + minute % 7)}

    times = [cycle_at - timedelta(minutes=count - i) for i in range(count)]
    symbols = [{"symbol": name, "candles": [bar(base, at) for at in times]} for name, base in SYMBOLS.items()]
    detail = {"venue": "coinbase", "cycle_at": cycle_at.isoformat(), "part": 1, "parts": 1, "symbols": symbols}
    return json.dumps({"source": "signalbox", "detail-type": "CandlesClosed", "detail": detail})


def request(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """A signed request as API Gateway hands it on."""
    iam = {"accessKey": "AK", "accountId": "123456789012", "callerId": "AIDEXAMPLE", "userArn": OWNER, "userId": "AIDEXAMPLE"}
    return {
        "version": "2.0", "routeKey": f"{method} {path}", "rawPath": path, "rawQueryString": "", "queryStringParameters": None,
        "headers": {"content-type": "application/json", "host": "api.example"}, "body": json.dumps(body),
        "isBase64Encoded": False,
        "requestContext": {
            "accountId": "123456789012", "apiId": "api", "domainName": "api.example", "domainPrefix": "api", "requestId": "r",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "release"},
            "routeKey": f"{method} {path}", "stage": "$default", "time": "01/Mar/2024:12:07:30 +0000",
            "timeEpoch": int((NOON + timedelta(minutes=7, seconds=30)).timestamp() * 1000),
            "authorizer": {"iam": iam},
        },
    }  # fmt: skip


def resources(root: Path, telegram_url: str, folder: str) -> dict[str, str]:
    """Make what the functions use in AWS; return their environment."""
    tables: Any = boto3.client("dynamodb", region_name=REGION)
    for name, keys in {"outgoing": ("event_type", "event_id"), "idempotency": ("id",), "signing-keys": ("name", "id")}.items():
        tables.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)],
        )  # fmt: skip
    s3 = boto3.client("s3", region_name=REGION)
    for bucket in ("models", "reports", "assets"):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted((root / "training" / "starter_bundle").iterdir()):
            packed.write(path, path.name)
    s3.put_object(Bucket="assets", Key="starter.zip", Body=archive.getvalue())
    sqs, sns = boto3.client("sqs", region_name=REGION), boto3.client("sns", region_name=REGION)
    queue = sqs.create_queue(QueueName="deliveries.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    boto3.client("events", region_name=REGION).create_event_bus(Name="signalbox")
    secret = json.dumps({"bot_token": "12:abc", "chat_ids": ["7"]})
    arn = boto3.client("secretsmanager", region_name=REGION).create_secret(Name="telegram", SecretString=secret)["ARN"]
    return {
        "SIGNALBOX_STAGE": "dev", "DATABASE_PORT": "5432", "DATABASE_SSLMODE": "disable", "OUTGOING_EVENTS_TABLE": "outgoing",
        "MODELS_BUCKET": "models", "REPORTS_BUCKET": "reports", "STARTER_BUNDLE_BUCKET": "assets", "VENUE": "coinbase",
        "STARTER_BUNDLE_KEY": "starter.zip", "OWNERS": OWNER, "ACCOUNTS": ACCOUNT, "SIGNAL_LIMITS": "{}",
        "EVENT_BUS_NAME": "signalbox",
        "SIGNING_KEYS_TABLE": "signing-keys", "IDEMPOTENCY_TABLE": "idempotency", "DELIVERIES_QUEUE_URL": queue,
        "ALARM_TOPIC_ARN": sns.create_topic(Name="alarms")["TopicArn"], "TELEGRAM_SECRET_ARN": arn, "TELEGRAM_URL": telegram_url,
        "KILL_SWITCH_QUEUE_ARN": f"arn:aws:sqs:{REGION}:123456789012:kill-switch", "POWERTOOLS_SERVICE_NAME": "release",
        "POWERTOOLS_METRICS_NAMESPACE": "release", "MPLCONFIGDIR": folder,
    }  # fmt: skip


@contextmanager
def telegram() -> Iterator[str]:
    """Serve Messenger on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Messenger)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), *sys.argv[2:4])) + "\n")
