-- Requests to venues are sealed one by one: the newest number that an account has given out (decision 0070).

ALTER TABLE accounts ADD COLUMN request_sequence bigint NOT NULL DEFAULT 0 CHECK (request_sequence >= 0);

GRANT UPDATE (request_sequence) ON accounts TO signalbox_app;
