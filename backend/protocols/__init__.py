"""Wire protocols: they translate, they never decide."""
