-- The name of an event begins with its type, as signalbox.events makes it. Names are unique over all types and a second event of a
-- name is left out, while what a role may put is judged by the type alone (0016): so a role could take the name of another one's
-- event, an exit for example, before that was put, and it would never have been told.
--
-- What was published before stays as it is (NOT VALID), and what waits can be published whatever its name. No role may insert a
-- row as published.
ALTER TABLE outbox ADD CONSTRAINT outbox_names CHECK (published_at IS NOT NULL OR starts_with(event_id, event_type || ':'))
    NOT VALID;
