"""Rules of processors, pages, devices and credentials of a machine, with KubeVirt's texts."""

from __future__ import annotations

from collections.abc import Iterator

from vmpod.kinds.parts.machine_pinning import pinning_errors
from vmpod.kinds.parts.reading import dig, entries, indexed, mapping, number, set_keys, text
from vmpod.model import quantity
from vmpod.model.meta import Object
from vmpod.model.status import NOT_SUPPORTED, FieldError, required, wrong

IO_POLICIES = ("shared", "auto", "supplementalPool")
VIDEOS = ("", "vga", "cirrus", "virtio", "ramfb", "bochs")
PANICS = ("", "hyperv", "isa", "pvpanic")
_DAY = 24 * 60 * 60
SOUNDS = ("", "ich9", "ac97")
_METHODS = ("noCloud", "configDrive", "qemuGuestAgent")


def device_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """Every fault of what the machine is made of, apart from its disks and cards."""
    domain, here = dig(spec, "domain"), f"{path}.domain"
    yield from _processor_errors(domain, here)
    yield from pinning_errors(domain, here)
    yield from _page_errors(domain, here)
    yield from _secure_boot_errors(domain, here)
    yield from _input_errors(dig(domain, "devices"), f"{here}.devices")
    yield from _sound_errors(dig(domain, "devices"), path)
    yield from _card_errors(dig(domain, "devices"), f"{here}.devices")
    yield from _clock_errors(dig(domain, "clock"), f"{here}.clock")
    yield from _io_thread_errors(domain, here)
    yield from _probe_network_errors(spec, path)
    yield from _credential_errors(spec, path)


def _processor_errors(domain: Object, path: str) -> Iterator[FieldError]:
    cpu = dig(domain, "cpu")
    if cpu.get("isolateEmulatorThread") and not cpu.get("dedicatedCpuPlacement"):
        told = "IsolateEmulatorThread should be only set in combination with DedicatedCPUPlacement"
        yield wrong(f"{path}.cpu.isolateEmulatorThread", True, told)
    if cpu.get("realtime") is not None and not cpu.get("dedicatedCpuPlacement"):
        told = f"{path}.cpu.dedicatedCpuPlacement must be set to true when {path}.cpu.realtime is used"
        yield required(f"{path}.cpu.dedicatedCpuPlacement", told)
    asked, limit = (dig(domain, "resources", kind).get("cpu") for kind in ("requests", "limits"))
    if not asked or not limit or not (quantity.is_valid(asked) and quantity.is_valid(limit)):
        return
    if quantity.to_milli(asked) > quantity.to_milli(limit) > 0:
        where = f"{path}.resources.requests.cpu"
        yield wrong(where, asked, f"{where} '{asked}' is greater than {path}.resources.limits.cpu '{limit}'")


def _page_errors(domain: Object, path: str) -> Iterator[FieldError]:
    """Memory is a whole number of huge pages."""
    if dig(domain, "memory").get("hugepages") is None:
        return
    size, where = text(dig(domain, "memory", "hugepages"), "pageSize"), f"{path}.hugepages.size"
    if not quantity.is_valid(size) or quantity.to_bytes(size) <= 0:
        yield wrong(where, size, f"{where} '{size}': {quantity.RULE}")
        return
    asked, here = dig(domain, "resources", "requests").get("memory"), f"{path}.resources.requests.memory"
    amount = quantity.to_bytes(asked) if asked is not None and quantity.is_valid(asked) else 0
    if amount < quantity.to_bytes(size):
        yield wrong(here, asked, f"{here} '{asked}' must be equal to or larger than page size {where} '{size}'")
    elif amount % quantity.to_bytes(size):
        yield wrong(here, asked, f"{here} '{asked}' is not a multiple of the page size {where} '{size}'")


def _secure_boot_errors(domain: Object, path: str) -> Iterator[FieldError]:
    efi = mapping(dig(domain, "firmware", "bootloader")).get("efi")
    smm = mapping(domain.get("features")).get("smm")
    is_secure = isinstance(efi, dict) and efi.get("secureBoot") is not False
    if is_secure and (not isinstance(smm, dict) or smm.get("enabled") is False):
        told = f"{path} has EFI SecureBoot enabled. SecureBoot requires SMM, which is currently disabled."
        yield wrong(path, "", told)


def _input_errors(devices: Object, path: str) -> Iterator[FieldError]:
    for here, one in indexed(devices, "inputs", path):
        if text(one, "bus") not in ("", "virtio", "usb"):
            yield wrong(f"{here}.bus", one.get("bus"), "Input device can have only virtio or usb bus.")
        if text(one, "type") != "tablet":
            yield wrong(f"{here}.type", one.get("type"), "Input device can have only tablet type.")


def _sound_errors(devices: Object, path: str) -> Iterator[FieldError]:
    sound = devices.get("sound")
    if not isinstance(sound, dict):
        return
    if text(sound, "model") not in SOUNDS:
        told = "Sound device type is not supported. Options: 'ich9' or 'ac97'"
        yield wrong(f"{path}.Sound", sound.get("model"), told)
    if not text(sound, "name"):
        yield wrong(f"{path}.Sound", "", "Sound device requires a name field.")


def _card_errors(devices: Object, path: str) -> Iterator[FieldError]:
    """Screen, watchdog and panic devices: those that this architecture has."""
    video, watchdog = devices.get("video"), devices.get("watchdog")
    if isinstance(video, dict):
        if devices.get("autoattachGraphicsDevice") is False:
            told = "Video configuration is not allowed when autoattachGraphicsDevice is set to false"
            yield wrong(f"{path}.video", video, told)
        if text(video, "type") not in VIDEOS:
            told = f"video model '{text(video, 'type')}' is not supported on amd64 architecture"
            yield FieldError(f"{path}.video.type", NOT_SUPPORTED, told, text(video, "type"))
    if isinstance(watchdog, dict) and watchdog.get("diag288") is not None:
        told = "amd64 only supports I6300ESB watchdog device"
        yield FieldError(f"{path}.watchdog", NOT_SUPPORTED, told, watchdog)
    for here, one in indexed(devices, "panicDevices", path):
        if text(one, "model") not in PANICS:
            told = f"the panic device model {text(one, 'model')} is not supported"
            yield wrong(f"{here}.model", one.get("model"), told)


def _clock_errors(clock: Object, path: str) -> Iterator[FieldError]:
    offset = number(mapping(clock.get("utc")), "offsetSeconds") or 0
    if abs(offset) > _DAY:  # an hour more no time zone can say
        told = f"{path}.utc.offsetSeconds must be a day at most"
        yield wrong(f"{path}.utc.offsetSeconds", offset, told)


def _io_thread_errors(domain: Object, path: str) -> Iterator[FieldError]:
    policy = text(domain, "ioThreadsPolicy")
    if policy and policy not in IO_POLICIES:
        yield wrong(f"{path}.ioThreadsPolicy", policy, f"Invalid IOThreadsPolicy ({policy})")
    count = number(dig(domain, "ioThreads"), "supplementalPoolThreadCount")
    if policy == "supplementalPool" and (count or 0) < 1:
        told = "the number of iothreads needs to be set and positive for the dedicated policy"
        yield wrong(f"{path}.ioThreads.count", count, told)


def _probe_network_errors(spec: Object, path: str) -> Iterator[FieldError]:
    """What knocks at the guest's address needs a card on the pod network."""
    if any(one.get("pod") is not None for one in entries(spec, "networks")):
        return
    for probe in ("readinessProbe", "livenessProbe"):
        for key in set_keys(mapping(spec.get(probe)), ("httpGet", "tcpSocket")):
            here = f"{path}.{probe}.{key}"
            yield wrong(here, "", f"{here} is only allowed if the Pod Network is attached")


def _credential_errors(spec: Object, path: str) -> Iterator[FieldError]:
    volumes = entries(spec, "volumes")
    for here, one in indexed(spec, "accessCredentials", path):
        given = set_keys(one, ("sshPublicKey", "userPassword"))
        for kind in given:
            yield from _one_credential(mapping(one[kind]), kind, here, volumes)
        if len(given) != 1:
            yield wrong(here, given, f"{here} must have exactly one access credential type set")


def _one_credential(given: Object, kind: str, path: str, volumes: list[Object]) -> Iterator[FieldError]:
    allowed = _METHODS if kind == "sshPublicKey" else _METHODS[-1:]
    methods = set_keys(dig(given, "propagationMethod"), allowed)
    where = f"{path}.{kind}.propagationMethod"
    for method, source in (("noCloud", "cloudInitNoCloud"), ("configDrive", "cloudInitConfigDrive")):
        if method in methods and not any(volume.get(source) is not None for volume in volumes):
            told = f"{path} requires a {method} volume to exist when the {method} propagationMethod is in use."
            yield wrong(where, method, told)
    agent = dig(given, "propagationMethod", "qemuGuestAgent")
    if kind == "sshPublicKey" and "qemuGuestAgent" in methods and not agent.get("users"):
        told = f"{path} requires at least one user to be present in the users list"
        yield wrong(f"{where}.qemuGuestAgent.users", [], told)
    if dig(given, "source").get("secret") is None:
        yield wrong(f"{path}.{kind}.source", "", f"{path} must have exactly one source set")
    if len(methods) != 1:
        yield wrong(where, methods, f"{path} must have exactly one propagationMethod set")
