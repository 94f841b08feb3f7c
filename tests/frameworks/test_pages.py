"""The pages for users of PyTorch and JAX: their examples run, and names in all pages exist."""

import re

import pytest

from tests.test_docs import DOCS, FRAMEWORK_MODULES, PAGES, WITH_FRAMEWORKS, code, resolve, run_examples


@pytest.mark.parametrize("name", WITH_FRAMEWORKS)
def test_examples_run(name: str) -> None:
    run_examples(DOCS / "how-to" / f"{name}.md")


def test_names_exist() -> None:
    pattern = rf"mxtrain\.({'|'.join(FRAMEWORK_MODULES)})(\.\w+)*"
    spans = {span for page in PAGES for span in code(page.read_text(encoding="utf-8")) if re.fullmatch(pattern, span)}
    assert len(spans) > 3
    for span in spans:
        resolve(span)
