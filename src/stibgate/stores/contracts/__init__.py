"""The views of a store, as those see them who use one; `stibgate.stores` has them all."""
