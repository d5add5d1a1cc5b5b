"""Pure Kubernetes semantics: selectors, quantities, patches, conditions, tables. No I/O."""
