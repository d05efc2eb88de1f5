"""`signalbox ftmo`: replays an account from a file under a prop firm's rules."""
