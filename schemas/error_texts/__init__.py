"""Texts of the error codes, one module for each group of :class:`schemas.error_codes.ErrorCode`."""
