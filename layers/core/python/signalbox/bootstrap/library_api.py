"""Composes library_api: the library and its deployments in the ledger, its outbox, the models bucket, the starter bundle."""

from __future__ import annotations

import boto3

from signalbox.adapters.aws.artifacts import S3Artifacts
from signalbox.adapters.aws.bundles import MAX_PACKED_BUNDLE
from signalbox.adapters.aws.clients import QUICK
from signalbox.adapters.aws.signing_keys import StoredKeys, key_client
from signalbox.adapters.postgres.deployments import PostgresDeployments
from signalbox.adapters.postgres.entities import PostgresEntities
from signalbox.adapters.postgres.library import PostgresLibrary
from signalbox.adapters.postgres.library_requests import PostgresRequests
from signalbox.adapters.postgres.library_roles import PostgresLibraryRoles
from signalbox.adapters.postgres.live_records import PostgresLiveDecisions
from signalbox.adapters.postgres.observations import PostgresObservations
from signalbox.adapters.postgres.outbox import PostgresOutbox
from signalbox.adapters.postgres.registry import PostgresRegistry
from signalbox.application.manage_library import ManageLibrary
from signalbox.bootstrap.ledger import connect_ledger, outgoing_events
from signalbox.bootstrap.settings import LibraryApiSettings
from signalbox.contracts import TRAINING_PREFIX, Function, SealKey, emitted_by


def compose(settings: LibraryApiSettings | None = None) -> ManageLibrary:
    """Return the application, composed from the environment."""
    found = settings or LibraryApiSettings.read()
    connection = connect_ledger(found, application=Function.LIBRARY_API.value)
    client = boto3.client("s3", config=QUICK)

    def starter() -> bytes:
        answer = client.get_object(Bucket=found.starter_bucket, Key=found.starter_key)
        return answer["Body"].read(MAX_PACKED_BUNDLE + 1)

    return ManageLibrary(
        registry=PostgresRegistry(connection),
        library=PostgresLibrary(connection),
        entities=PostgresEntities(connection),
        requests=PostgresRequests(connection),
        book=PostgresDeployments(connection),
        observations=PostgresObservations(connection),
        artifacts=S3Artifacts(client, bucket=found.models_bucket, prefix=TRAINING_PREFIX),
        roles=PostgresLibraryRoles(connection),
        outbox=PostgresOutbox(connection, emitted_by(Function.LIBRARY_API)),
        bus=outgoing_events(found),
        models_bucket=found.models_bucket,
        starter=starter,
        owners=found.owners,
        person_keys=StoredKeys(key_client(), found.signing_keys_table, SealKey.PEOPLE),
        live=PostgresLiveDecisions(connection, found.venue),
        challengers=found.challengers,
    )
