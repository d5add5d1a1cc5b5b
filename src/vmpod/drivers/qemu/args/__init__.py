"""The command line by families: each module turns a MachineSpec into its own arguments, purely."""
