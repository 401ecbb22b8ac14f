"""Every e-mail provider."""

from typing import Final

from tierwise_ingest.formats.format import Format
from tierwise_ingest.formats.mail.brevo import BREVO
from tierwise_ingest.formats.mail.mailersend import MAILERSEND
from tierwise_ingest.formats.mail.mailgun import MAILGUN
from tierwise_ingest.formats.mail.mailjet import MAILJET
from tierwise_ingest.formats.mail.mailtrap import MAILTRAP
from tierwise_ingest.formats.mail.mandrill import MANDRILL
from tierwise_ingest.formats.mail.postal import POSTAL
from tierwise_ingest.formats.mail.postmark import POSTMARK
from tierwise_ingest.formats.mail.resend import RESEND
from tierwise_ingest.formats.mail.sendgrid import SENDGRID
from tierwise_ingest.formats.mail.ses import SES
from tierwise_ingest.formats.mail.sparkpost import SPARKPOST
from tierwise_ingest.formats.mail.unisender_go import UNISENDER_GO

MAIL: Final[tuple[Format, ...]] = (
    SENDGRID,
    MAILGUN,
    POSTMARK,
    SES,
    BREVO,
    MAILJET,
    RESEND,
    MAILERSEND,
    SPARKPOST,
    MAILTRAP,
    UNISENDER_GO,
    POSTAL,
    MANDRILL,
)
