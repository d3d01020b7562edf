"""A store reached over FTP, encrypted by TLS unless the config says otherwise in words.

From the config to the server: `options`; `dialling` connects, encrypts and logs in; a `line` (over `wire`) is one
connection with one file at a time; `lines` are as many as the server allows; `store` knows names, folders and
what a refusal means.  `sending`, `fetching`, `errands`, `hashing` and `replacing` are what is done on a line.
"""
