"""What an agency runs: outbox, inbox, registry, local API and command line."""
