"""Telegram's Bot API behind the Messenger port."""
