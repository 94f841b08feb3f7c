"""The examples of the pages for users of PyTorch and JAX run."""

import pytest

from tests.test_docs import DOCS, WITH_FRAMEWORKS, run_examples


@pytest.mark.parametrize("name", WITH_FRAMEWORKS)
def test_examples_run(name: str) -> None:
    run_examples(DOCS / "how-to" / f"{name}.md")
