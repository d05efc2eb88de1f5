"""migrate_database (ledger): applies the forward migrations with the credentials that prepare_database passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import ConfigDict, SecretStr

from signalbox.bootstrap.migrate_database import compose
from signalbox.frozen import FrozenModel

logger = Logger()


class MigrateDatabase(FrozenModel):
    """The database login. The password is never logged or stored."""

    model_config = ConfigDict(hide_input_in_errors=True)  # an error quotes what it was given: the password too

    username: str
    password: SecretStr


def make_handler(migrate: Callable[[str, str], list[str]]) -> Callable[[Mapping[str, Any], LambdaContext], dict[str, Any]]:
    """Return the Lambda handler for a migration."""

    @logger.inject_lambda_context(log_event=False)
    def handler(event: Mapping[str, Any], _context: LambdaContext) -> dict[str, Any]:
        command = MigrateDatabase.model_validate(event)
        applied = migrate(command.username, command.password.get_secret_value())
        logger.info("migrations_applied", applied=applied)
        return {"applied": applied}

    return handler


handler = make_handler(compose())
