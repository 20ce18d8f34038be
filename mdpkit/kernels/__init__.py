"""Array functions without objects: the only place with inner loops."""
