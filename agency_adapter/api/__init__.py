"""The local REST API of an adapter: what an agency's own system and the command line speak to.

Made by :func:`agency_adapter.api.app.create_app`. Requests are strict (unknown members are refused by name),
every refusal is a bilingual problem document (RFC 9457), and every act is answered after its commit.
"""
