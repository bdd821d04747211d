"""Pages as a browser shows them; these tests are skipped where there is no browser."""

import shutil

import pytest

BROWSERS = "chromium", "chromium-browser", "google-chrome"
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="package")
def browser():
    """Chromium; not of the whole session, as its event loop would be in the way of notebooks."""
    api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page, and hold against it every request to the outside and every error it reports.

    `visit(address, width=1400, dark=False)` returns Playwright's page; more options are those of
    its contexts.
    """
    contexts, outside, errors = [], [], []

    def note_request(request):
        if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            outside.append(request.url)

    def open_page(address, width=1400, dark=False, **options):
        options |= {"color_scheme": "dark" if dark else "light"}
        options["viewport"] = {"width": width, "height": 900}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("request", note_request)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: said.type == "error" and errors.append(said.text))
        page.goto(str(address))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not outside and not errors, (outside, errors)
