"""The manifests of the talk "Inversion of Containers" are accepted as they are: warned about, never refused."""

from __future__ import annotations

from copy import deepcopy

import pytest

from vmpod.kinds import DATAVOLUME, PERSISTENTVOLUMECLAIM, SERVICE, VIRTUALMACHINE, VIRTUALMACHINEINSTANCE, for_object
from vmpod.model import yaml
from vmpod.model.meta import Object

DEMOS = """
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  generation: 1
  labels:
    kubevirt.io/os: linux
  name: vm1
spec:
  running: true
  template:
    metadata:
      labels:
        kubevirt.io/domain: vm1
    spec:
      nodeSelector:
        nested: "true"
      domain:
        cpu:
          cores: 2
        devices:
          disks:
          - disk:
              bus: virtio
            name: disk0
          - cdrom:
              bus: sata
              readonly: true
            name: cloudinitdisk
        machine:
          type: q35
        resources:
          requests:
            memory: 1024M
      volumes:
      - name: disk0
        containerDisk:
          image: kubevirt/fedora-cloud-container-disk-demo:v0.33.0
      - name: cloudinitdisk
        cloudInitNoCloud:
          secretRef:
            name: vm1-cloudconfig
---
apiVersion: v1
kind: Service
metadata:
  name: vm1ssh
spec:
  externalTrafficPolicy: Cluster
  ports:
  - port: 22
    name: ssh
    protocol: TCP
    targetPort: 22
  selector:
    kubevirt.io/domain: vm1
  type: LoadBalancer
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: winhd
spec:
  accessModes:
    - ReadWriteOnce
  resources:
    requests:
      storage: 30Gi
  storageClassName: managed-premium
---
apiVersion: kubevirt.io/v1alpha3
kind: VirtualMachine
metadata:
  generation: 1
  labels:
    kubevirt.io/os: windows
  name: win2k19reg
spec:
  running: true
  template:
    metadata:
      labels:
        kubevirt.io/domain: win2k19reg
    spec:
      nodeSelector:
        nested: "true"
      domain:
        cpu:
          cores: 2
        devices:
          disks:
          - cdrom:
              bus: sata
            bootOrder: 2
            name: iso
          - disk:
              bus: virtio
            name: harddrive
            bootOrder: 1
          - cdrom:
              bus: sata
              readonly: true
            name: virtio-drivers
        machine:
          type: q35
        resources:
          requests:
            memory: 4096M
      volumes:
      - name: harddrive
        persistentVolumeClaim:
          claimName: winhd
      - name: iso
        containerDisk:
          image: registry.example/w2k19_iso:jul2021
          imagePullPolicy: IfNotPresent
          imagePullSecret: kubevirtcontainerregistrysecret
      - name: virtio-drivers
        containerDisk:
          image: kubevirt/virtio-container-disk
---
apiVersion: kubevirt.io/v1alpha3
kind: VirtualMachine
metadata:
  generation: 1
  labels:
    kubevirt.io/os: windows
  name: win2k19reg
spec:
  running: true
  template:
    metadata:
      labels:
        kubevirt.io/domain: win2k19reg
    spec:
      nodeSelector:
        nested: "true"
      domain:
        cpu:
          cores: 2
        devices:
          disks:
          - disk:
              bus: virtio
            name: harddrive
        machine:
          type: q35
        resources:
          requests:
            memory: 4096M
      volumes:
      - name: harddrive
        persistentVolumeClaim:
          claimName: winhd
---
apiVersion: v1
kind: Service
metadata:
  name: vmrdp
spec:
  externalTrafficPolicy: Cluster
  ports:
  - port: 3389
    name: rdp
    protocol: TCP
    targetPort: 3389
  selector:
    kubevirt.io/domain: win2k19reg
  type: LoadBalancer
---
apiVersion: cdi.kubevirt.io/v1beta1
kind: DataVolume
metadata:
  name: upload-datavolume
spec:
  source:
      upload: {}
  pvc:
    accessModes:
      - ReadWriteOnce
    resources:
      requests:
        storage: 10Gi
---
apiVersion: kubevirt.io/v1alpha3
kind: VirtualMachine
metadata:
  creationTimestamp: 2021-07-04T15:03:08Z
  generation: 1
  labels:
    kubevirt.io/os: freebsd
    special: key
  name: testvm2
spec:
  running: true
  template:
    metadata:
      creationTimestamp: null
      labels:
        kubevirt.io/domain: testvm2
        special: key
    spec:
      domain:
        cpu:
          cores: 1
        devices:
          blockMultiQueue: true
          disks:
          - disk:
              bus: sata
            name: disk0
            cache: none
        machine:
          type: q35
        resources:
          requests:
            memory: 2048M
      volumes:
      - name: disk0
        persistentVolumeClaim:
          claimName: upload-datavolume
---
apiVersion: v1
kind: Service
metadata:
  name: vm2http
spec:
  externalTrafficPolicy: Cluster
  ports:
  - port: 38883
    name: rdp
    protocol: TCP
    targetPort: 80
  selector:
    kubevirt.io/domain: testvm2
  type: LoadBalancer
"""
OBJECTS: list[Object] = [document.obj for document in yaml.load_all(DEMOS)]
EXPECTED = {VIRTUALMACHINE, SERVICE, PERSISTENTVOLUMECLAIM, DATAVOLUME}


def test_all_are_read() -> None:
    assert len(OBJECTS) == 9
    assert {for_object(obj) for obj in OBJECTS} == EXPECTED


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_accepted(obj: Object) -> None:
    kind = for_object(obj)
    assert kind is not None
    obj = deepcopy(obj)
    obj["metadata"]["namespace"] = "default"
    made = kind.prepare_create(kind.default(obj))
    assert [str(error) for error in kind.validate(made, None)] == []
    assert "creationTimestamp" not in made["metadata"]
    again = kind.prepare_update(kind.default(deepcopy(made)), made)
    assert kind.validate(again, made) == []
    assert again == made


@pytest.mark.parametrize("obj", [o for o in OBJECTS if o["kind"] == "VirtualMachine"], ids=lambda o: o["metadata"]["name"])
def test_only_old_spellings_are_warned_about(obj: Object) -> None:
    told = VIRTUALMACHINE.warnings(VIRTUALMACHINE.default(deepcopy(obj)))
    assert told == ["spec.running is deprecated, please use spec.runStrategy instead."]


def test_the_instance_of_demo_1() -> None:
    template = deepcopy(OBJECTS[0]["spec"]["template"])
    made = VIRTUALMACHINEINSTANCE.default({"metadata": {"name": "vm1"}, "spec": template["spec"]})
    assert made["spec"]["domain"]["memory"] == {"guest": "1024M"}
    assert made["spec"]["domain"]["devices"]["interfaces"] == [{"name": "default", "bridge": {}}]
    assert VIRTUALMACHINEINSTANCE.validate(made, None) == []
