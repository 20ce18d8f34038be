"""Configuration of the documentation; builds offline."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from instance_list import instance_list  # noqa: E402

import mdpkit  # noqa: E402

project = "mdpkit"
author = "The mdpkit developers"
copyright = f"{date.today().year}, {author}"
release = version = mdpkit.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinxcontrib.bibtex",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",  # MathJax comes along with the pages: they are read without a network
    "claim_directive",  # docs/claim_directive.py
]
exclude_patterns = ["_build", "choose_table.md"]
html_theme = "furo"
html_title = "mdpkit"
html_static_path = ["_static"]
html_css_files = ["custom.css"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",  # run when the documentation is built, and again when a script has changed
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"demo\.py",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "remove_config_comments": True,
    "ignore_repr_types": r"matplotlib",
    "abort_on_example_error": True,
    "copyfile_regex": r"^$",
}

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

autosummary_generate = True
autosummary_imported_members = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

python_use_unqualified_type_names = True
suppress_warnings = ["ref.python"]


def _list_instances(app: Any, docname: str, source: list[str]) -> None:
    if docname == "instances":
        source[0] = source[0].replace("<!-- instances -->", instance_list())


def setup(app: Any) -> None:
    """Write the list of instances into its page, anew in each build."""
    app.connect("source-read", _list_instances)
    app.connect("env-get-outdated", lambda *_: ["instances"])
