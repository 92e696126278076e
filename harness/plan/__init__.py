"""Suite → Plan: matrix, identity, order, selection."""
