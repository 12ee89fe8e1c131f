"""What is said: letters, receipts, the directory, reasons and errors. Pure data: no I/O, no cryptography."""
