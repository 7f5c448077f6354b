"""Decoding apart from the service: what bytes do to a decoder, they do to a process that can be spared."""
