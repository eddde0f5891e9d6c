"""
Who may ask for a device: whoever has one of the server's keys.

Source: protocol.md sections 3.8 step 1 and 3.16, section 8 statements 75 and 240.
"""

from __future__ import annotations

import math

from attrs import frozen

from rdserver.key_watch import KeyWatch
from rdserver.notices import Notices
from rdserver.rendezvous.events import Event, shown
from rdserver.rendezvous.identity import Credential, Identity
from rdserver.wire import pb
from rdserver.wire.address import Address

WAIT_TEXT = "Too many wrong keys came from your network: wait {seconds} seconds"


@frozen
class Admission:
    """
    Asks those who look for a device for a key.

    :ivar watch: is told of wrong and old keys.
    """

    identity: Identity
    watch: KeyWatch
    notices: Notices[Event]

    def admit(
        self, request: pb.PunchHoleRequest, origin: Address
    ) -> Credential | pb.PunchHoleResponse:
        """
        Return what a client at *origin* has shown, or else what it is to be answered.

        During a penalty for wrong keys none is compared, so that nobody learns of one
        that it is right.
        """
        if self.identity.checks_keys and (wait_s := self.watch.wait_s(origin.host)):
            text = WAIT_TEXT.format(seconds=math.ceil(wait_s))
            return pb.PunchHoleResponse(other_failure=text.encode())
        credential = self.identity.recognise(request.licence_key)
        if credential is None:
            return self._wrong(request, origin)
        if credential.old_name:
            self.watch.old(credential.old_name, origin.host)
        return credential

    def _wrong(
        self, request: pb.PunchHoleRequest, origin: Address
    ) -> pb.PunchHoleResponse:
        # These words are what fail2ban and crowdsec look for (protocol.md 3.16).
        self.notices.warn(
            Event.BAD_KEY,
            "Authentication failed from {remote} for peer {peer_id} - invalid key",
            remote=str(origin),
            peer_id=shown(pb.text(request.id)),
        )
        self.watch.wrong(origin.host)
        return pb.PunchHoleResponse(failure=pb.PunchHoleResponse.LICENSE_MISMATCH)
