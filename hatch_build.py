"""Refuse to build where git did not make the two links that hold the package together."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LinkGuard(BuildHookInterface):
    def initialize(self, version, build_data):
        for room in ("solvers", "proofs"):
            if not (Path(self.root) / "mdpkit" / room / "__init__.py").is_file():
                raise RuntimeError(
                    f"mdpkit/{room} is not the link to ../{room} (git without symlinks?). Repair with: "
                    "git config core.symlinks true && git checkout -- mdpkit/solvers mdpkit/proofs"
                )
        if not (Path(self.root) / "mdpkit/references.bib").read_text(encoding="utf-8").lstrip().startswith(("@", "%")):
            raise RuntimeError(
                "mdpkit/references.bib is not the link to ../docs/references.bib. Repair with: "
                "git config core.symlinks true && git checkout -- mdpkit/references.bib"
            )
