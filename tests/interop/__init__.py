"""
The server among real peers: proxies, TLS clients, browsers and other libraries.

The modules are named ``check_*``, so that ``make test`` leaves them out: they need
programs that few machines have, and minutes.  ``make interop`` runs them; what is not
installed is skipped, except in CI, which installs everything.
"""
