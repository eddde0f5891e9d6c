"""
A laboratory of networks: clients behind routers, in namespaces of their own.

``make nat-lab`` runs it.  Everything lives in one process tree with its own mounts, so
whatever happens nothing of it is left.
"""
