"""A store reached over FTP, encrypted by TLS unless the config says otherwise in words.

options    what a config may say            dialling  connect, encrypt, log in
line       one connection, one file a time  lines     as many as the server allows
store      names, folders, what a refusal means
sending, fetching, errands, hashing, replacing        what is done on a line
"""
