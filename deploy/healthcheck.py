"""Ask the server of this container whether it lives; any failure is a non-zero exit."""  # noqa: INP001

import os
import ssl
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

port = os.environ.get("SERVICE_PORT") or "8000"
scheme = "https" if os.environ.get("TLS_CERT_FILE") else "http"
# The certificate is for the public name, and this is loopback; a proxy has no part in it.
context = ssl._create_unverified_context()  # noqa: S323, SLF001
opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))
opener.open(f"{scheme}://127.0.0.1:{port}/api/v1/health/live", timeout=4).close()
