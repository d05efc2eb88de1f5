"""The bot: commands that people type in a chat, who may give them, and the answers. It knows neither Telegram nor a database."""
