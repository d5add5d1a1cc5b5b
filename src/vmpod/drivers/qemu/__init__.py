"""QEMU: what a machine is (spec), its command line (args), and talking to it while it runs (qmp, agent)."""
