"""The workers: Celery as the doorbell.  What is due is asked of the ledger; a message only says "look"."""
