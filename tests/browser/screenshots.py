"""`python -m tests.browser.screenshots FOLDER [VIEW ...]`: screenshots of the dashboard, wide, narrow, light and
dark.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from tests.browser.browsers import find_browser
from tests.browser.seed_rows import LONG_LEASE
from tests.browser.seeded_service import fill
from tests.support.redis import running_redis
from tests.support.service import TOKEN, ServiceProcess

SIZES: dict[str, ViewportSize] = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
JOB = "paper-network-2"
VIEWS = {
    "signin": "", "jobs": "/", "job": "/jobs/{job}", "readme": "/jobs/{job}",
    "series": "/jobs/{job}/series", "logs": "/jobs/{job}/logs", "events": "/jobs/{job}/events",
    "checkpoints": "/jobs/{job}/checkpoints", "files": "/jobs/{job}/artifacts", "report": "/jobs/{job}/report",
    "spec": "/jobs/{job}/spec", "workers": "/workers", "submit": "/submit", "own": "/submit?of=spec",
    "done": "/jobs/{digits-demo}", "failed": "/jobs/{wide-network-1}",
    "silent": "/jobs/{silent-sweep}", "queue": "/queue", "usage": "/usage?by=job",
    "compare": "/compare?job={job}&job={digits-demo}&job={wide-network-1}",
}  # fmt: skip


def main(folder: Path, wanted: list[str]) -> int:
    """Take the screenshots. The exit status is 1 if a page logs an error or scrolls sideways."""
    folder.mkdir(parents=True, exist_ok=True)
    errors: list[str] = []
    with tempfile.TemporaryDirectory() as place, running_redis() as redis, sync_playwright() as playwright:
        data = Path(place)
        service = ServiceProcess(
            f"sqlite:///{data}/baton.db",
            redis.url,
            (data / "store").as_uri(),
            data / "service.log",
            settings=LONG_LEASE,
        )
        ids = fill(service.database_url, service.store_url)
        service.start()
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for size, viewport in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport=viewport, color_scheme=scheme, base_url=service.url)
                page = context.new_page()
                page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: errors.append(str(error)))
                for view, path in VIEWS.items():
                    if view == "signin":
                        sign_in(page, folder / f"{size}-{scheme}-signin.png")
                    elif not wanted or view in wanted:
                        page.goto(path.replace("{job}", ids[JOB]).format(**ids))
                        page.wait_for_load_state("networkidle") if "/jobs/" not in path else page.wait_for_timeout(900)
                        page.screenshot(
                            path=folder / f"{size}-{scheme}-{view}.png", full_page=view not in ("logs", "readme")
                        )
                        wide = page.evaluate(
                            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                        )
                        errors.extend([f"{size} {view} scrolls sideways by {wide}"] if wide > 0 else [])
                context.close()
        browser.close()
        service.kill()
    print("\n".join(errors) or "no errors")
    return 1 if errors else 0


def sign_in(page: Page, picture: Path) -> None:
    """Sign in with the token, as a user does."""
    page.goto("/")
    page.get_by_label("Token").wait_for()
    page.screenshot(path=picture)
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Jobs").wait_for()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
