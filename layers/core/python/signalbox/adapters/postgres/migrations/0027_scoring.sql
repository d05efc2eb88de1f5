-- Scores over HTTP: a role that reads what serves, and candles.
SELECT make_function_role('signalbox_score_signals');

GRANT SELECT ON candles TO signalbox_score_signals;
GRANT SELECT ON deployments TO signalbox_score_signals;
GRANT SELECT ON versions TO signalbox_score_signals;
