"""Who said it: keys, certificates, signatures and the directory. Pure: no network."""
