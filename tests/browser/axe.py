"""axe-core, which looks for what keeps people out: missing names, too little contrast, a lost order."""

import asyncio
from pathlib import Path

from playwright.async_api import Page

_SOURCE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_RUN = """async () => (await axe.run()).violations.flatMap(
  (rule) => rule.nodes.map((node) => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`),
)"""


async def violations(page: Page) -> list[str]:
    """Returns what axe finds on the view that is shown: a rule, an element and what is wrong with it each."""
    # As the developer tools do, past the page's own policy, which runs no script that it did not bring.
    await page.evaluate(await asyncio.to_thread(_SOURCE.read_text))
    found: list[str] = await page.evaluate(_RUN)
    return found
