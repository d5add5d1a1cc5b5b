"""Kustomizations: a base and what differs from it, built to plain objects as `kubectl kustomize` builds them.

Source of the behaviour: kustomize v5 (the release inside kubectl 1.33). Two steps go further than it, so that a
machine follows where a pod does: `images` also renames the images of containerDisk volumes, and names in machines
(data volumes, claims, secrets, config maps) follow prefixes and hashes. Fields that are not built are refused.
"""

from vmpod.intake.kustomize.build import build
from vmpod.intake.kustomize.root import ROOT_FILES, root_file

__all__ = ["ROOT_FILES", "build", "root_file"]
