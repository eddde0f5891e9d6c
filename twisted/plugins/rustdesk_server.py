"""Makes ``twistd rustdesk-server`` known.  Imports nothing of rdserver itself."""

from twisted.application.service import ServiceMaker

rustdesk_server = ServiceMaker(
    name="RustDesk server",
    module="rdserver.tap",
    description="ID server and relay for RustDesk clients",
    tapname="rustdesk-server",
)
