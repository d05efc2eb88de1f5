-- Why a signal that says to do something was issued to nobody: a limit of signals an hour (signals/rate_limit.py).
ALTER TABLE signals ADD COLUMN held_back text CHECK (held_back <> '');
ALTER TABLE signals ADD CONSTRAINT signals_hold_is_not_held_back CHECK (held_back IS NULL OR direction <> 'HOLD');
CREATE INDEX signals_issued ON signals (deployment, decided_at) WHERE direction <> 'HOLD' AND held_back IS NULL;
