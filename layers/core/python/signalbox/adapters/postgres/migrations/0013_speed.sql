-- What a row of an order costs to write. The same rows are let in and kept out as before, except where it says otherwise.

-- A regular expression compiles its automaton anew for each value; these say the same in comparisons of characters.
ALTER DOMAIN order_key DROP CONSTRAINT order_key_check;
ALTER DOMAIN order_key ADD CONSTRAINT order_key_check CHECK (octet_length(VALUE) = 32 AND ltrim(VALUE, '0123456789abcdef') = '');
ALTER DOMAIN market_symbol DROP CONSTRAINT market_symbol_check;
ALTER DOMAIN market_symbol ADD CONSTRAINT market_symbol_check CHECK (
    length(split_part(VALUE, '-', 1)) BETWEEN 2 AND 12
    AND length(split_part(VALUE, '-', 2)) BETWEEN 2 AND 12
    AND VALUE = split_part(VALUE, '-', 1) || '-' || split_part(VALUE, '-', 2)
    AND ltrim(VALUE, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-') = ''
);

-- A foreign key is a query a row. These rows come many at once and all of one account: a look a statement says the same. What is
-- not looked for again is an account that is deleted: its opening transfer in account_entries, whose foreign key stays, keeps it.
CREATE FUNCTION refuse_unknown_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unknown text;
BEGIN
    SELECT account INTO unknown FROM added WHERE NOT EXISTS (SELECT FROM public.accounts WHERE accounts.account = added.account) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%: expected an account that exists, was %', TG_TABLE_NAME, unknown USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['order_events', 'orders', 'fills', 'lots', 'disposals'] LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', name, name || '_account_fkey');
        EXECUTE format(
            'CREATE TRIGGER known_account AFTER INSERT ON %I REFERENCING NEW TABLE AS added FOR EACH STATEMENT'
            ' EXECUTE FUNCTION refuse_unknown_accounts()',
            name
        );
    END LOOP;
END
$$;
