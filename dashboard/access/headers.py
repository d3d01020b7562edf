"""What every answer tells the browser, so that it helps to protect whoever looks.

The policy lets a page load what comes from this dashboard and nothing else, and lets no inline script or style run:
what a file's name smuggles into a page stays text.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import Scope

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that, browsers hide where a form of our own comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
STRICT_TRANSPORT = "max-age=31536000"
_STATIC = "/static/"


def protect(headers: MutableHeaders, scope: Scope, *, encrypted: bool) -> None:
    """Complete an answer's headers, the cookie of a renewed login among them."""
    for name, value in ALWAYS.items():
        headers[name] = value
    if encrypted or scope["scheme"] == "https":
        headers["Strict-Transport-Security"] = STRICT_TRANSPORT
    if scope["path"].startswith(_STATIC):
        headers.setdefault("Cache-Control", "no-cache")  # kept, and asked for anew by its tag
    else:
        headers["Cache-Control"] = "no-store"
    cookie = scope["state"].get("set_cookie")
    if cookie:
        headers.append("Set-Cookie", cookie)
