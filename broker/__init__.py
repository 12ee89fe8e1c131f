"""The backbone: topology, permissions, the private node, the AMQP session, outbox and relay."""
