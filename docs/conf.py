"""How Sphinx builds the documentation; `docs/build.py` runs it."""

from patchbay import __version__

project = "patchbay"
author = "the patchbay contributors"
copyright = author  # noqa: A001, Sphinx's name for it
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_site"]
html_theme = "furo"
html_title = f"patchbay {release}"

myst_heading_anchors = 3

default_role = "literal"  # docstrings write `code` as Markdown does
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # the attributes of a dataclass are described once, in its docstring
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_display_short_literal_types = True
