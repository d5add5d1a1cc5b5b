"""Volumes that may come and go, told apart from the others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vmpod.kinds.parts.hotplug import ephemeral, hotpluggable, plug_faults, steady, with_hotplugged
from vmpod.model.meta import Object


def spec(fixed: set[str], plugged: set[str]) -> Object:
    """A machine spec; both kinds of volumes are claims."""
    volumes = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in sorted(fixed - plugged)]
    volumes += [{"name": one, "persistentVolumeClaim": {"claimName": one, "hotpluggable": True}} for one in sorted(plugged)]
    disks = [{"name": one["name"], "disk": {"bus": "scsi"}} for one in volumes]
    return {"domain": {"devices": {"disks": disks}}, "volumes": volumes}


NAMES = st.sets(st.sampled_from("abcd"))


@given(NAMES, NAMES, NAMES, NAMES, NAMES)
def test_an_instance_gets_what_its_template_has(
    fixed: set[str], had: set[str], template_fixed: set[str], wanted: set[str], kept: set[str]
) -> None:
    before = spec(fixed, had)
    after = with_hotplugged(before, spec(template_fixed, wanted), frozenset(kept))
    names = [one["name"] for one in after["volumes"]]
    assert len(set(names)) == len(names), "no volume stands there twice"
    assert sorted(names) == sorted(one["name"] for one in after["domain"]["devices"]["disks"])
    assert steady(after) == steady(before), "the others are left alone"
    assert set(hotpluggable(after)) == (wanted - (fixed - had)) | (had & kept)
    assert hotpluggable(with_hotplugged(after, spec(template_fixed, wanted), frozenset(kept))) == hotpluggable(after)


def with_drive(*volumes: str) -> Object:
    made = spec(set(), set(volumes))
    made["domain"]["devices"]["disks"] = [{"name": "drive", "cdrom": {"bus": "sata"}}]
    return made


def test_a_disc_comes_and_goes_and_its_drive_stays() -> None:
    empty, full = with_drive(), with_drive("drive")
    assert plug_faults(empty, full) == plug_faults(full, empty) == {}
    assert with_hotplugged(empty, full) == full
    assert with_hotplugged(full, empty)["domain"] == empty["domain"] == steady(full)["domain"]
    without: Object = {"domain": {"devices": {"disks": []}}, "volumes": []}
    assert "requires diskDevice of type 'disk' or 'lun'" in plug_faults(without, full)["drive"]


def test_what_was_plugged_into_an_instance_alone() -> None:
    assert ephemeral({}) == ephemeral({"metadata": {"annotations": {"kubevirt.io/ephemeral-hotplug-volumes": ""}}}) == set()
    noted = {"metadata": {"annotations": {"kubevirt.io/ephemeral-hotplug-volumes": "a,b"}}}
    assert ephemeral(noted) == {"a", "b"}
