"""The fields of a machine spec that this release acts on."""

from __future__ import annotations

from vmpod.kinds.parts.support import ACTED, BLOCKS, Near, OneOf, Refused, Tree, refusals, unsupported
from vmpod.model.meta import Object
from vmpod.model.status import FieldError

_OF_KVM = Near("shown to the guest under KVM; an event names it where the guest is emulated")
_MODEL = Near("host-model and host-passthrough are the host's own under KVM, else QEMU's fullest (max)")
_POOL = Near("disks are dealt to the threads in turn; the queues of one disk share a thread")
_DEDICATED = Near("on processors that no other such machine has; containers and other machines may run there too")
_ISOLATED = Near("one processor more, which QEMU's own threads share with the guest's")
_NUMA = Near("this machine has one NUMA node, and so has the guest; one with several refuses it")
_TAG = Near("of disks on virtio: the config drive describes them")
_MATCH = Near("every volume is an image whose blocks have 512 bytes, and so have the disk's")
_PASST = Near("unless ports are listed, those up to 32767 or what the limit of open files allows; no host name by DHCP")
_APIC = Near("the board always has one; false leaves out endOfInterrupt, as libvirt does")
_OPTIONS = Near("they reach the resolv.conf of the launcher; DHCP has no word for them, under KubeVirt neither")
_ADDRESS = Near("on q35 behind a root port (0000:01:00.0 to 0000:18:00.0), or in the slots 10 to 1e of bus 00")
_ELSEWHERE = Refused()


def _gated(name: str) -> Refused:
    """What KubeVirt refuses as long as its feature gate is closed; here none of these opens."""
    return Refused(f"{name} feature gate is not enabled in kubevirt-config")


def _discontinued(name: str) -> Refused:
    told = f"{name} network binding is discontinued since v1.3. Please refer to Kubevirt user guide for alternatives."
    return Refused(told)


_PROBE: Tree = {
    "httpGet": ACTED, "tcpSocket": ACTED, "exec": ACTED, "guestAgentPing": ACTED, "initialDelaySeconds": ACTED,
    "timeoutSeconds": ACTED, "periodSeconds": ACTED, "successThreshold": ACTED, "failureThreshold": ACTED,
}
_DISK: Tree = {
    "name": ACTED, "bootOrder": ACTED, "serial": ACTED, "cache": ACTED, "io": ACTED, "shareable": ACTED,
    "errorPolicy": ACTED, "dedicatedIOThread": ACTED, "tag": _TAG, "changedBlockTracking": _gated("IncrementalBackup"),
    "blockSize": {"custom": ACTED, "matchVolume": _MATCH},
    "disk": {"bus": ACTED, "readonly": ACTED, "pciAddress": _ADDRESS},
    "lun": {"bus": ACTED, "readonly": ACTED, "reservation": _gated("PersistentReservation")},
    "cdrom": {"bus": ACTED, "readonly": ACTED, "tray": OneOf(("closed",))},
}
_INTERFACE: Tree = {
    "name": ACTED, "masquerade": ACTED, "bridge": ACTED, "macAddress": ACTED, "model": ACTED, "ports": ACTED,
    "portRanges": ACTED, "dhcpOptions": ACTED, "acpiIndex": ACTED, "bootOrder": ACTED,
    "pciAddress": _ADDRESS,
    "state": ACTED, "tag": ACTED,
    "passt": _PASST, "passtBinding": _PASST, "binding": {"name": OneOf(("passt",))},
    "sriov": BLOCKS, "slirp": _discontinued("Slirp"), "macvtap": _discontinued("Macvtap"),
}
_DEVICES: Tree = {
    "disks": _DISK,
    "interfaces": _INTERFACE,
    "rng": ACTED, "inputs": ACTED, "panicDevices": ACTED, "sound": ACTED, "clientPassthrough": ACTED,
    "tpm": ACTED,
    "video": ACTED, "useVirtioTransitional": ACTED,
    "watchdog": {"name": ACTED, "i6300esb": ACTED, "diag288": _ELSEWHERE},
    "blockMultiQueue": ACTED, "networkInterfaceMultiqueue": ACTED,
    "autoattachPodInterface": ACTED, "autoattachSerialConsole": ACTED, "autoattachGraphicsDevice": ACTED,
    "autoattachMemBalloon": ACTED,
    "autoattachInputDevice": ACTED, "autoattachVSOCK": _gated("VSOCK"), "logSerialConsole": ACTED,
    "disableHotplug": ACTED,
    "gpus": BLOCKS, "hostDevices": BLOCKS, "filesystems": ACTED,
    "downwardMetrics": Refused(
        "downwardMetrics virtio serial is not allowed: DownwardMetrics feature gate is not enabled"),
}
_DOMAIN: Tree = {
    "cpu": {
        "sockets": ACTED, "maxSockets": ACTED, "cores": ACTED, "threads": ACTED, "model": _MODEL, "features": ACTED,
        "dedicatedCpuPlacement": _DEDICATED, "isolateEmulatorThread": _ISOLATED,
        "numa": {"guestMappingPassthrough": _NUMA}, "realtime": BLOCKS,
    },
    "memory": {
        "guest": ACTED, "maxGuest": ACTED, "hugepages": ACTED,
        "reservedOverhead": {"addedOverhead": ACTED, "memLock": OneOf(("Required", "NotRequired"))},
    },
    "ioThreadsPolicy": ACTED, "ioThreads": _POOL,
    "resources": {
        "requests": {"cpu": ACTED, "memory": ACTED}, "limits": {"cpu": ACTED, "memory": ACTED},
        "overcommitGuestOverhead": ACTED,
    },
    "machine": {"type": ACTED},
    "firmware": {
        "uuid": ACTED, "serial": ACTED, "kernelBoot": ACTED, "acpi": ACTED,
        "bootloader": {"bios": {"useSerial": ACTED}, "efi": {"secureBoot": ACTED, "persistent": ACTED}},
    },
    "features": {
        "acpi": ACTED, "smm": ACTED, "apic": {"enabled": _APIC, "endOfInterrupt": _OF_KVM}, "hyperv": _OF_KVM,
        "hypervPassthrough": _OF_KVM, "kvm": ACTED, "pvspinlock": _OF_KVM,
    },
    "clock": {"utc": ACTED, "timezone": ACTED, "timer": {
        "hpet": {"present": ACTED, "tickPolicy": OneOf(("delay",))}, "hyperv": _OF_KVM, "kvm": ACTED,
        "pit": {"present": ACTED, "tickPolicy": OneOf(("delay", "discard"))},
        "rtc": {"present": OneOf((True,)), "tickPolicy": OneOf(("delay", "catchup")), "track": ACTED},
    }},
    "chassis": ACTED,
    "rebootPolicy": ACTED,
    "launchSecurity": _gated("WorkloadEncryptionSEV"),
    "devices": _DEVICES,
}
_VOLUME: Tree = {
    "name": ACTED,
    "containerDisk": ACTED,
    "persistentVolumeClaim": {"claimName": ACTED, "readOnly": ACTED, "hotpluggable": ACTED},
    "dataVolume": {"name": ACTED, "hotpluggable": ACTED},
    "ephemeral": ACTED,
    "hostDisk": {"path": ACTED, "type": ACTED, "capacity": ACTED, "shared": ACTED},  # all nodes are this machine
    "emptyDisk": ACTED,
    "cloudInitNoCloud": ACTED, "cloudInitConfigDrive": ACTED,
    "configMap": ACTED, "secret": ACTED, "downwardAPI": ACTED, "sysprep": ACTED,
    "serviceAccount": ACTED, "downwardMetrics": Refused(
        "downwardMetrics disks are not allowed: DownwardMetrics feature gate is not enabled."),
    "containerPath": _gated("ContainerPathVolumes"),
}
_MACHINE: Tree = {
    "architecture": ACTED,
    "domain": _DOMAIN,
    "volumes": _VOLUME,
    "networks": {"name": ACTED, "pod": {"vmNetworkCIDR": ACTED, "vmIPv6NetworkCIDR": ACTED},
                 "multus": {"networkName": ACTED, "default": _ELSEWHERE},
                 "resourceClaim": _gated("NetworkDevicesWithDRA")},
    "accessCredentials": {
        "sshPublicKey": {"source": ACTED, "propagationMethod": {
            "noCloud": ACTED, "configDrive": ACTED, "qemuGuestAgent": ACTED,
        }},
        "userPassword": {"source": ACTED, "propagationMethod": {"qemuGuestAgent": ACTED}},
    },
    "nodeSelector": ACTED, "affinity": ACTED, "tolerations": ACTED,
    "topologySpreadConstraints": Near("on one machine nothing is spread; an event tells"),
    "priorityClassName": Near("stored; nothing is preempted on one machine"),
    "hostname": ACTED, "subdomain": ACTED,
    "startStrategy": ACTED,
    "terminationGracePeriodSeconds": ACTED,
    "evictionStrategy": ACTED,
    "dnsPolicy": ACTED, "dnsConfig": {"nameservers": ACTED, "searches": ACTED, "options": _OPTIONS},
    "schedulerName": frozenset({"default-scheduler", ""}),
    "resourceClaims": _gated("GPUsWithDRA"), "utilityVolumes": _gated("UtilityVolumes"),
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
}


def support_errors(spec: Object, path: str) -> list[FieldError]:
    """What no machine is stored with, by path."""
    return list(refusals(spec, _MACHINE, path))


def machine_warnings(spec: Object, path: str) -> list[str]:
    """What a machine asks for in vain, by path."""
    return list(unsupported(spec, _MACHINE, path))
