"""What a worker would import when it first needs it, imported once for all that are forked."""

import alembic.command
import celery.app.amqp
import celery.beat
import celery.concurrency.thread
import celery.worker.worker
import globus_sdk
import kombu.transport.memory
import sqlalchemy.dialects.sqlite

import transfer.catalog.alyx
import transfer.ledger
import transfer.rounds
import transfer.transports.ftp.transport
import transfer.transports.globus.transport
import transfer.transports.http.transport
import transfer.transports.sftp.transport

__all__ = ["alembic", "celery", "globus_sdk", "kombu", "sqlalchemy", "transfer"]
