"""From candles to decisions: rows with features and labels, and the periods they are divided into."""
