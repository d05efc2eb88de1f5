"""The venues of live accounts, built from the execution secret. It is read every few minutes; one bad entry affects no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from signalbox.adapters.aws.secret_texts import SecretTexts
from signalbox.adapters.venues.ccxt_orders import CcxtVenue, CoinbaseCredentials
from signalbox.adapters.venues.mt5_mailbox import VENUE
from signalbox.bootstrap.settings import SettingsError
from signalbox.orders.messages import AccountName, ExecutionRequested, VenueViewRequested
from signalbox.orders.venue_port import CREDENTIALS, NOT_SUPPORTED, ClosedVenue, Venue


class CoinbaseAccount(BaseModel):
    """Credentials of a Coinbase Exchange profile."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["coinbase"]
    api_key: Annotated[str, Field(min_length=1)]
    api_secret: Annotated[str, Field(min_length=1)]
    passphrase: Annotated[str, Field(min_length=1)]
    sandbox: bool = False

    def credentials(self) -> CoinbaseCredentials:
        """Return the credentials for the venue adapter."""
        return CoinbaseCredentials(self.api_key, self.api_secret, self.passphrase, sandbox=self.sandbox)


class Mt5Account(BaseModel):
    """An account that an agent trades. Its key is in a secret of its own, so this entry has no further fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["mt5"]


class BrokenAccount(BaseModel):
    """An account with unusable credentials. wrong: the names of the wrong fields, never their values."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    venue: Literal["broken"] = "broken"
    wrong: str


LiveAccount: TypeAlias = CoinbaseAccount | Mt5Account | BrokenAccount
_ACCOUNT: Final[TypeAdapter[CoinbaseAccount | Mt5Account]] = TypeAdapter(
    Annotated[CoinbaseAccount | Mt5Account, Field(discriminator="venue")]
)


def _each_for_itself(accounts: object) -> object:
    """Return the accounts, with invalid ones as BrokenAccount: a mistake in one must not close the venues of all."""
    if not isinstance(accounts, dict):
        return accounts
    found: dict[object, LiveAccount] = {}
    for name, content in accounts.items():
        try:
            found[name] = _ACCOUNT.validate_python(content)
        except ValidationError as error:
            found[name] = BrokenAccount(wrong=_places(error))
    return found


class ExecutionSecret(BaseModel):
    """The secret's JSON; the operator fills it in (docs/live-trading.md)."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    accounts: Annotated[dict[AccountName, LiveAccount], BeforeValidator(_each_for_itself)]


def _places(error: ValidationError) -> str:
    """Return the names of the wrong fields. Their values are left out, because they belong to the secret."""
    return ", ".join(".".join(str(part) for part in e["loc"]) or "the whole" for e in error.errors(include_input=False))


@dataclass
class SecretVenues:
    """The venue of each account, with the credentials in the secret. A venue is reused while its entry does not change."""

    secrets: SecretTexts
    secret_arn: str
    url: str
    clock: Callable[[], datetime]
    _venues: dict[str, tuple[CoinbaseAccount, CcxtVenue]] = field(default_factory=dict)

    def venue(self, request: ExecutionRequested | VenueViewRequested) -> Venue:
        """Return the venue of a request's account; a ClosedVenue with the reason if it may not be used. Raises SettingsError."""
        account = self._secret().accounts.get(request.account)
        if account is None:
            return ClosedVenue(CREDENTIALS, "no credentials in the execution secret; add them under accounts")
        if isinstance(account, BrokenAccount):
            return ClosedVenue(CREDENTIALS, f"the execution secret is wrong at {account.wrong}; see docs/live-trading.md")
        if isinstance(account, Mt5Account) and request.venue == VENUE:
            return ClosedVenue(CREDENTIALS, "it has no mailbox: deploy with it in mt5_accounts; see docs/live-trading.md")
        if account.venue != request.venue or not isinstance(account, CoinbaseAccount):
            return ClosedVenue(NOT_SUPPORTED, f"expected venue {account.venue} as in the execution secret, got {request.venue}")
        kept = self._venues.get(request.account)
        if kept is None or kept[0] != account:
            kept = (account, CcxtVenue(account.credentials(), url=self.url, clock=self.clock))
            self._venues[request.account] = kept
        return kept[1]

    def _secret(self) -> ExecutionSecret:
        text = self.secrets.get(self.secret_arn)
        try:
            return ExecutionSecret.model_validate_json(text)
        except ValidationError as error:
            raise SettingsError(
                f"{self.secret_arn}: wrong at {_places(error)}; expected JSON as in docs/live-trading.md"
            ) from None
