"""Fakes, world models and virtual clocks for tests; the product never imports it."""
