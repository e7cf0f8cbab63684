"""Routes of the dashboard: its single page at the URL of each view, and its files."""

from __future__ import annotations

from functools import cache
from html import escape
from pathlib import Path

from fastapi import APIRouter, Request, Response

from service.api.auth import COOKIE
from service.errors import NotFound
from service.web.assets import load_assets

router = APIRouter(include_in_schema=False)
SHELL = Path(__file__).with_name("index.html")
METHODS = ["GET", "HEAD"]
VIEWS = ("/", "/jobs/{job_id}", "/jobs/{job_id}/{tab}", "/compare", "/queue", "/workers", "/usage", "/submit")
FOR_EVER = "public, max-age=31536000, immutable"
# Only Baton's files may be scripts and styles. Trusted Types let scripts create markup only through lit-html.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Vary": "Cookie",
}


def show_view(request: Request) -> Response:
    """The page. It contains whether the browser has a session. Without one, its scripts avoid a request with a 401."""
    shell = _shell(request.scope["root_path"], COOKIE in request.cookies)
    return Response(shell, headers=HEADERS, media_type="text/html; charset=utf-8")


for view in VIEWS:
    router.add_api_route(view, show_view, methods=METHODS)


@router.api_route("/assets/{name}/{path:path}", methods=METHODS)
def show_asset(request: Request, name: str, path: str) -> Response:
    """A file of this version of the dashboard. Files of other versions are not found."""
    assets = load_assets()
    asset = assets.files.get(path)
    if asset is None or name != assets.name:
        raise NotFound("this version of the dashboard has no such file; load the page again")
    headers = {"Cache-Control": FOR_EVER, "Vary": "Accept-Encoding"}
    if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=headers, media_type=asset.media_type)


@cache
def _shell(root_path: str, session: bool) -> str:
    assets = load_assets()
    # Baton's style sheets come last, so that they override those of libraries.
    found = sorted(assets.paths(".css"), key=lambda path: "/vendor/" not in path)
    styles = [f'<link rel="stylesheet" href="{root_path}{escape(path)}">' for path in found]
    modules = [f'<link rel="modulepreload" href="{root_path}{escape(path)}">' for path in assets.paths(".js")]
    text = SHELL.read_text(encoding="utf-8")
    values = {
        "ROOT": root_path,
        "ASSETS": root_path + assets.root,
        "SESSION": "yes" if session else "no",
        "HEAD": "\n".join(styles + modules),
    }
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text
