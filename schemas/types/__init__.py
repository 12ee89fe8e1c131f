"""Types of letters, one module each; :mod:`schemas.type_registry` finds them."""
