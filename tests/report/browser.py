"""Headless Chromium, driven by Selenium: opens a page, reads and clicks it, takes its picture.

    with Browser(profile) as browser:
        browser.open(path)
        browser.sort("Leaderboard", "GAP")
        assert browser.column("Leaderboard", "GAP") == [...]
        assert browser.errors() == []

`python -m tests.report.browser PAGE FOLDER` writes pictures of a page at 400 and 1,600 pixels,
light and dark.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_WAIT_SECONDS = 120.0
TALL = 16_000


def _program() -> str | None:
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


def why_there_is_none() -> str | None:
    """What lacks for a browser, in a line; None where nothing does."""
    if _program() is None:
        return f"needs a browser, one of {', '.join(_PROGRAMS)}"
    if shutil.which("chromedriver") is None:
        return "needs chromedriver beside the browser; apt-get install chromium-driver"
    return None


class Browser:
    """A browser with a profile of its own; to be closed, as a context."""

    def __init__(self, profile: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(_program())
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # Both are named, so that Selenium looks nowhere for them.
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self._driver = webdriver.Chrome(options, service)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._driver.quit()

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Opens a page and waits until the charts that can be seen are drawn.

        In a window as tall as the page, these are all.
        """
        self.errors()
        self._shape(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._driver.get(page.resolve().as_uri())
        WebDriverWait(self._driver, _WAIT_SECONDS).until(
            lambda driver: driver.execute_script("return document.documentElement.dataset.drawn")
        )

    def _shape(self, width: int, height: int) -> None:
        self._driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script that is run in the page returns."""
        return self._driver.execute_script(script, *arguments)

    def errors(self) -> list[str]:
        """What the console has said since it was last asked, warnings and worse."""
        return [
            entry["message"]
            for entry in self._driver.get_log("browser")
            if entry["level"] in ("WARNING", "SEVERE")
        ]

    def wider_than_window(self) -> bool:
        """Whether the page as a whole has to be moved sideways."""
        return bool(self.run("return document.documentElement.scrollWidth > window.innerWidth + 1"))

    def requested(self) -> list[str]:
        """The addresses of everything that the page loaded."""
        found = self.run("return performance.getEntriesByType('resource').map(own => own.name)")
        return [str(name) for name in found]

    def texts(self, selector: str) -> list[str]:
        """What is shown in all elements of a CSS selector."""
        return [found.text for found in self._driver.find_elements(By.CSS_SELECTOR, selector)]

    def table(self, caption: str) -> WebElement:
        """The table under a caption."""
        path = f"//figure[contains(@class, 'table')][figcaption[normalize-space()='{caption}']]"
        return self._driver.find_element(By.XPATH, path)

    def sort(self, caption: str, title: str) -> None:
        """Clicks the name of a table's column."""
        for button in self.table(caption).find_elements(By.CSS_SELECTOR, "th button"):
            if button.text == title:
                self.run("arguments[0].click()", button)
                return
        raise LookupError(f"{caption}: no column {title}")

    def column(self, caption: str, title: str) -> list[str]:
        """The cells of a table's column, as they are shown now."""
        rows = "arguments[0].querySelectorAll('tr')"
        cells: list[list[str]] = self.run(
            f"return [...{rows}].map(row => [...row.children].map(own => own.innerText))",
            self.table(caption),
        )
        place = cells[0].index(title)
        return [row[place] for row in cells[1:]]

    def search(self, caption: str, text: str) -> None:
        """Writes into a table's field for searching."""
        field = self.table(caption).find_element(By.CSS_SELECTOR, "input[type=search]")
        field.clear()
        field.send_keys(text)

    def picture(
        self, path: Path, page: Path, width: int, dark: bool = False, height: int | None = None
    ) -> None:
        """Writes the picture (PNG) of a page, down to `height` or the whole."""
        self.open(page, width, height or TALL, dark)
        whole = int(self.run("return document.body.getBoundingClientRect().height"))
        self._shape(width, height or min(whole, TALL))
        self._driver.save_screenshot(str(path))


def main(page: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        for width in (400, 1600):
            for dark in (False, True):
                name = f"{page.stem}-{width}-{'dark' if dark else 'light'}.png"
                browser.picture(folder / name, page, width, dark)
                print(folder / name, *browser.errors(), sep=os.linesep)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
