"""
Both sides of a RustDesk connection in every mode, as protocol.md section 7.0 lists them.

``Controlled`` is B: it registers by UDP, by TCP behind a key exchange or by WebSocket, and
answers by itself whatever it is asked.  ``Controlling`` is A: it asks for a device, and
follows the answer until both have a way to each other.  On that way they prove themselves
and exchange data as section 2.5 says, so a test sees what path was taken and that it works.

The sockets block, with a deadline on everything; what happens at the same time in a real
client happens in threads here.  Between the peers the real ones speak KCP over UDP, which
the server never sees: here it is a small protocol of our own, :mod:`reliable`.
"""
