-- What a live account knows of its venue between two comparisons (trading/at_venue.py): the venue's instruments, differences that
-- one view showed and a second has to confirm, orders that no view showed, and when a view was asked for last.
ALTER TABLE accounts ADD COLUMN at_venue text CHECK (at_venue IS JSON OBJECT);
GRANT UPDATE (at_venue) ON accounts TO signalbox_app;
