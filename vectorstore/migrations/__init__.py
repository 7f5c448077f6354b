"""Numbered SQL files; see vectorstore.migrate."""
