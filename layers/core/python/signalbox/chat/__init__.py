"""Messages to people: the texts of alerts, and the messenger port that sends them."""
