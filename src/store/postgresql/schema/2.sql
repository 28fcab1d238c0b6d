-- Version 2: changes can be heard of. {s} is the schema.
-- A notification is queued when its transaction commits, under a lock that is held until the commit
-- can be seen; so notifications come in the order in which changes take place. Triggers send them:
-- whoever changes a session is heard, be it a program of version 1 or an operator by hand.
--
-- Messages, all in hexadecimal digits:
--   a TELLER(8) gone(1) ADDRESS(16)...   o OWNER(8) EPOCH(8) [SPARE(16)]
--   g EPOCH(8)                           s INSTANCE(16) bytes

-- The channel. Anybody who may connect to the database may use a channel whose name he knows.
CREATE TABLE {s}.watching (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    channel text NOT NULL CHECK (channel ~ '^coat_[0-9a-f]{24}$')
);
INSERT INTO {s}.watching
    VALUES (true, 'coat_' || left(replace(gen_random_uuid()::text, '-', ''), 24));

-- Who has said something, and the version of that.
CREATE TABLE {s}.members (
    instance bytea PRIMARY KEY CHECK (octet_length(instance) = 16),
    version bigint NOT NULL CHECK (version > 0)
) WITH (fillfactor = 20);

-- The oldest version that a program may work on for the schema to be of use to it.
ALTER TABLE {s}.versions ADD COLUMN oldest integer NOT NULL DEFAULT 1;

-- Without a channel it fails, and what was to be told of with it.
CREATE FUNCTION {s}.tell(message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify((SELECT w.channel FROM {s}.watching w WHERE w.one), message);
END $$;

-- Replaced, removed, superseded, evicted. `quiet` is set by statements whose changes need not be
-- heard of. A spared session is only lifted over an epoch: nothing has changed for who knows it.
CREATE FUNCTION {s}.tell_sessions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told CONSTANT text := 'a' || lpad(coalesce(current_setting('coatcheck.self', true), ''), 16, '0');
    part text;
    total bigint;
BEGIN
    IF current_setting('coatcheck.quiet', true) = 'on' THEN RETURN NULL; END IF;
    SELECT count(*) INTO total FROM (SELECT FROM before LIMIT 1001) few;
    IF total > 1000 THEN
        PERFORM {s}.tell('g0000000000000000');
    ELSIF TG_OP = 'DELETE' THEN
        FOR part IN SELECT string_agg(encode(x.address, 'hex'), '')
            FROM (SELECT b.address, (row_number() OVER () - 1) / 200 AS n FROM before b) x
            GROUP BY x.n
        LOOP
            PERFORM {s}.tell(told || '01' || part);
        END LOOP;
    ELSIF total > 0 THEN
        FOR part IN SELECT string_agg(encode(x.address, 'hex'), '')
            FROM (SELECT b.address, (row_number() OVER () - 1) / 200 AS n
                FROM before b LEFT JOIN after c ON c.address = b.address
                WHERE c.address IS NULL OR c.version <> b.version OR c.expires_ms <> b.expires_ms
                OR c.epoch_owner < b.epoch_owner OR c.epoch_global <> b.epoch_global
                OR c.value <> b.value) x
            GROUP BY x.n
        LOOP
            PERFORM {s}.tell(told || '00' || part);
        END LOOP;
    END IF;
    RETURN NULL;
END $$;

-- All of an owner's but the spared one, which remove_owner() names; forgotten: who knows.
CREATE FUNCTION {s}.tell_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('coatcheck.quiet', true) = 'on' THEN RETURN NULL; END IF;
    IF TG_OP = 'DELETE' THEN
        PERFORM {s}.tell('o' || encode(OLD.owner, 'hex') || '0000000000000000');
    ELSE
        PERFORM {s}.tell('o' || encode(NEW.owner, 'hex') || lpad(to_hex(NEW.epoch), 16, '0')
            || coalesce(current_setting('coatcheck.spare', true), ''));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION {s}.tell_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_LEVEL = 'ROW' AND TG_OP <> 'DELETE' THEN
        PERFORM {s}.tell('g' || lpad(to_hex(NEW.epoch), 16, '0'));
    ELSE
        PERFORM {s}.tell('g0000000000000000');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER tell_update AFTER UPDATE ON {s}.sessions
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_sessions();
CREATE TRIGGER tell_delete AFTER DELETE ON {s}.sessions REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_sessions();
CREATE TRIGGER tell_truncate AFTER TRUNCATE ON {s}.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_all();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON {s}.owners
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_owner();
CREATE TRIGGER tell_truncate AFTER TRUNCATE ON {s}.owners
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_all();
CREATE TRIGGER tell_change AFTER INSERT OR UPDATE OR DELETE ON {s}.state
    FOR EACH ROW EXECUTE FUNCTION {s}.tell_all();
CREATE TRIGGER tell_truncate AFTER TRUNCATE ON {s}.state
    FOR EACH STATEMENT EXECUTE FUNCTION {s}.tell_all();
-- Also while a replication or a restore switches triggers off.
ALTER TABLE {s}.sessions ENABLE ALWAYS TRIGGER tell_update;
ALTER TABLE {s}.sessions ENABLE ALWAYS TRIGGER tell_delete;
ALTER TABLE {s}.sessions ENABLE ALWAYS TRIGGER tell_truncate;
ALTER TABLE {s}.owners ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE {s}.owners ENABLE ALWAYS TRIGGER tell_truncate;
ALTER TABLE {s}.state ENABLE ALWAYS TRIGGER tell_change;
ALTER TABLE {s}.state ENABLE ALWAYS TRIGGER tell_truncate;

-- As in version 1, but that it says which session was spared.
CREATE OR REPLACE FUNCTION {s}.remove_owner(o bytea, key bigint, now_ms bigint, spare bytea,
    again bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    global bigint;
    before bigint;
    raised bigint := again;
BEGIN
    PERFORM pg_advisory_xact_lock(key);
    SELECT g.epoch, coalesce(w.epoch, 0) INTO STRICT global, before
        FROM {s}.state g LEFT JOIN {s}.owners w ON w.owner = o WHERE g.one;
    IF again = 0 THEN
        raised := nextval('{s}.numbers');
    ELSIF before >= again THEN
        RETURN before;
    ELSE
        PERFORM {s}.given_out(again);
    END IF;
    IF spare IS NOT NULL THEN
        UPDATE {s}.sessions s SET epoch_owner = raised
            WHERE s.address = spare AND (s.expires_ms = 0 OR s.expires_ms > now_ms)
            AND s.epoch_owner >= before AND s.epoch_global >= global;
        IF FOUND THEN
            PERFORM set_config('coatcheck.spare', encode(spare, 'hex'), true);
        END IF;
    END IF;
    INSERT INTO {s}.owners AS w VALUES (o, raised, now_ms)
        ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch, raised_ms = excluded.raised_ms;
    PERFORM set_config('coatcheck.spare', '', true);
    RETURN raised;
END $$;

-- SAY. The version is taken under the lock of the row, which is held until the message is queued:
-- so an instance's later messages come later.
CREATE FUNCTION {s}.say(who bytea, what bytea, target bytea, report boolean, most integer,
    OUT answer integer, OUT number bigint, OUT everybody bytea) LANGUAGE plpgsql AS $$
DECLARE
    channel text;
BEGIN
    UPDATE {s}.members m SET version = nextval('{s}.numbers') WHERE m.instance = who
        RETURNING m.version INTO number;
    IF number IS NULL THEN
        IF (SELECT count(*) FROM {s}.members) >= most THEN answer := 6; RETURN; END IF;
        INSERT INTO {s}.members AS m VALUES (who, nextval('{s}.numbers'))
            ON CONFLICT (instance) DO UPDATE SET version = nextval('{s}.numbers')
            RETURNING m.version INTO number;
    END IF;
    SELECT w.channel || coalesce('_' || encode(target, 'hex'), '') INTO STRICT channel
        FROM {s}.watching w WHERE w.one;
    PERFORM pg_notify(channel, 's' || encode(who, 'hex') || encode(what, 'hex'));
    IF report THEN
        SELECT string_agg(m.instance || int8send(m.version), '' ORDER BY m.instance)
            INTO everybody FROM {s}.members m;
    END IF;
    answer := 0;
END $$;
