"""What Schemathesis cannot send by itself."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
