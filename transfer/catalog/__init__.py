"""The catalogue of datasets and file records: Alyx, behind one protocol (see `base`)."""
