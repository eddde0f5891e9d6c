"""
The statements of protocol.md section 8, each a test that carries its number.

``test_057_new_id`` tests statement 57, and its docstring is what the statement says
will happen.  Statements about servers are put to a real one, over real sockets, so
they hold for any implementation; where time must pass (30 seconds and more) or nothing
is to be seen from outside, the rooms are asked instead, with a clock of our own.
:mod:`tests.conformance.test_coverage` knows which numbers have no test yet.
"""
