"""Every format that ingest reads."""

from typing import Final

from tierwise_ingest.formats.browser import BROWSER_PAGE
from tierwise_ingest.formats.cloudevents.format import CLOUDEVENTS
from tierwise_ingest.formats.form import FORM
from tierwise_ingest.formats.format import Format
from tierwise_ingest.formats.mail.table import MAIL
from tierwise_ingest.formats.mapped import MAPPED
from tierwise_ingest.formats.native import NATIVE
from tierwise_ingest.formats.pixel import PIXEL
from tierwise_ingest.formats.rudderstack import RUDDERSTACK
from tierwise_ingest.formats.segment.format import SEGMENT
from tierwise_ingest.formats.sensors.format import SENSORS
from tierwise_ingest.formats.twilio import TWILIO

FORMATS: Final[tuple[Format, ...]] = (
    NATIVE,
    BROWSER_PAGE,
    FORM,
    PIXEL,
    SEGMENT,
    *RUDDERSTACK,
    CLOUDEVENTS,
    SENSORS,
    TWILIO,
    *MAPPED,
    *MAIL,
)
