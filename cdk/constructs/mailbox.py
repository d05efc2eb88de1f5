"""The mailbox of one MetaTrader 5 account: two queues, the key that signs their messages, and the rights of its agent."""

from __future__ import annotations

import json
from typing import Final

from aws_cdk import CfnOutput, Duration, RemovalPolicy, aws_iam, aws_secretsmanager, aws_sns, aws_sqs
from constructs import Construct

from cdk.constructs.acknowledge import acknowledge
from cdk.constructs.alarms import TopicAlarm
from cdk.constructs.queues import DeadLetterQueue
from cdk.constructs.subscription import PATIENT_RECEIVES
from cdk.stage import StageConfig
from signalbox.contracts import MailboxQueue, mailbox_key_name, mailbox_queue_name

AGENT_AWAY_SECONDS: Final = 60
_KEY_LENGTH: Final = 64
_COMMANDS_KEPT: Final = Duration.hours(1)  # a returning agent refuses old commands anyway, and the ledger decides again
_REPORTS_KEPT: Final = Duration.days(4)


class AgentMailbox(Construct):
    """The queues and the key. Their names are derived from stage and account, so that every side can compute them.

    hidden_seconds: how long a report stays hidden while the function handles it. The key is no state: a lost key is made again.
    """

    def __init__(
        self,
        scope: Construct,
        account: str,
        *,
        stage: StageConfig,
        alarm_topic: aws_sns.ITopic,
        hidden_seconds: int,
    ) -> None:
        super().__init__(scope, account)
        self._stage, self._account, self._alarm_topic = stage, account, alarm_topic
        self.commands = self._queue(MailboxQueue.COMMANDS, kept=_COMMANDS_KEPT, hidden_seconds=360, receives=5)
        self.reports = self._queue(
            MailboxQueue.REPORTS, kept=_REPORTS_KEPT, hidden_seconds=hidden_seconds, receives=PATIENT_RECEIVES
        )
        self.key = aws_secretsmanager.Secret(
            self,
            "Key",
            secret_name=mailbox_key_name(stage.name, account),
            description=f"signing key of the mailbox of {account}",
            removal_policy=RemovalPolicy.DESTROY,
            generate_secret_string=aws_secretsmanager.SecretStringGenerator(
                secret_string_template=json.dumps({"next": ""}),
                generate_string_key="current",
                exclude_punctuation=True,
                password_length=_KEY_LENGTH,
            ),
        )
        acknowledge(
            self.key, "SMG4", "The agent's machine has a copy that only its operator can replace: `signalbox mt5 rotate`."
        )
        TopicAlarm(
            self,
            "AgentAway",
            metric=self.commands.metric_approximate_age_of_oldest_message(period=Duration.minutes(1), statistic="Maximum"),
            threshold=AGENT_AWAY_SECONDS,
            description=f"a command to {account} waits: its agent is not running, or cannot reach its queue",
            topic=alarm_topic,
        )
        policy = self._agent_policy()
        name = "".join(part.title() for part in account.split("-"))
        CfnOutput(scope, f"Mt5AgentPolicyArn{name}", value=policy.managed_policy_arn)

    def _queue(self, which: MailboxQueue, *, kept: Duration, hidden_seconds: int, receives: int) -> aws_sqs.Queue:
        dead_letters = DeadLetterQueue(self, f"{which.title()}DeadLetters", alarm_topic=self._alarm_topic, fifo=True)
        return aws_sqs.Queue(
            self,
            which.title(),
            queue_name=mailbox_queue_name(self._stage.name, self._account, which),
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=kept,
            visibility_timeout=Duration.seconds(hidden_seconds),
            dead_letter_queue=aws_sqs.DeadLetterQueue(queue=dead_letters.queue, max_receive_count=receives),
        )

    def _agent_policy(self) -> aws_iam.ManagedPolicy:
        """Return a policy with exactly the rights of this account's agent; the operator attaches it to the agent's identity."""
        return aws_iam.ManagedPolicy(
            self,
            "AgentPolicy",
            description=f"The MetaTrader 5 agent of {self._account}: take its commands, put its reports",
            statements=[
                aws_iam.PolicyStatement(
                    actions=["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
                    resources=[self.commands.queue_arn],
                ),
                aws_iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.reports.queue_arn]),
                aws_iam.PolicyStatement(  # what `--check` asks
                    actions=["sqs:GetQueueAttributes"], resources=[self.commands.queue_arn, self.reports.queue_arn]
                ),
            ],
        )
