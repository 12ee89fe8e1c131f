"""What is said: letters, receipts, the directory, reason and error codes. Pure data: no I/O, no cryptography."""
