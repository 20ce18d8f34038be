"""Reading models and properties, writing answers."""
