-- Version 1. {s} is the schema.
-- Everything is in columns, so that SQL can ask; the value is the sealed record, opaque here.

-- The global epoch: one row.
CREATE TABLE {s}.state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL CHECK (epoch >= 0)
);
INSERT INTO {s}.state VALUES (true, 0);

-- Versions and epochs, each given out once. Without a cache: they grow in the order of nextval().
CREATE SEQUENCE {s}.numbers AS bigint CACHE 1;

-- Only owners whose epoch was raised.
CREATE TABLE {s}.owners (
    owner bytea PRIMARY KEY CHECK (octet_length(owner) = 8),
    epoch bigint NOT NULL CHECK (epoch > 0),
    raised_ms bigint NOT NULL
);

CREATE TABLE {s}.sessions (
    address bytea PRIMARY KEY CHECK (octet_length(address) = 16),
    owner bytea NOT NULL CHECK (owner = substr(address, 9)),
    version bigint NOT NULL CHECK (version > 0),
    expires_ms bigint NOT NULL CHECK (expires_ms >= 0),
    epoch_owner bigint NOT NULL,
    epoch_global bigint NOT NULL,
    value bytea NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX sessions_owner ON {s}.sessions (owner, address);
CREATE INDEX sessions_expiry ON {s}.sessions (expires_ms) WHERE expires_ms > 0;

CREATE TABLE {s}.accounts (
    address bytea PRIMARY KEY CHECK (octet_length(address) = 16),
    version bigint NOT NULL CHECK (version > 0),
    expires_ms bigint NOT NULL CHECK (expires_ms >= 0),
    value bytea NOT NULL
) WITH (fillfactor = 85);

CREATE TABLE {s}.meta (
    address bytea PRIMARY KEY CHECK (octet_length(address) = 16),
    version bigint NOT NULL CHECK (version > 0),
    expires_ms bigint NOT NULL CHECK (expires_ms >= 0),
    value bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX meta_expiry ON {s}.meta (expires_ms) WHERE expires_ms > 0;

-- Sealed records do not compress.
ALTER TABLE {s}.sessions ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE {s}.accounts ALTER COLUMN value SET STORAGE EXTERNAL;
ALTER TABLE {s}.meta ALTER COLUMN value SET STORAGE EXTERNAL;

-- The first word on a connection. A global epoch that was seen and is lost here is put back (RV-5).
-- What the sequence gives out is never below the clock, so that a server that came back with older
-- data gives nothing out again.
CREATE FUNCTION {s}.hello(seen bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    floor bigint := greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, seen);
    last bigint;
    global bigint;
BEGIN
    SELECT last_value INTO last FROM {s}.numbers;
    IF floor > last + 1000000 THEN
        -- One at a time. Others may take numbers meanwhile, but not a million.
        LOCK TABLE {s}.state IN SHARE ROW EXCLUSIVE MODE;
        SELECT last_value INTO last FROM {s}.numbers;
        IF floor > last + 1000000 THEN
            PERFORM setval('{s}.numbers', floor);
        END IF;
    END IF;
    UPDATE {s}.state SET epoch = seen WHERE one AND epoch < seen;
    SELECT epoch INTO STRICT global FROM {s}.state WHERE one;
    RETURN global;
END $$;

-- INSERT of a session. The lock is on the owner: sign-ins of one user come one after another, so
-- that its limit is exact; the epochs are read under it. No other statement waits for it.
-- Answers are those of coat_err.
CREATE FUNCTION {s}.insert_session(a bytea, o bytea, key bigint, now_ms bigint, of_owner bigint,
    of_global bigint, expires bigint, val bytea, most integer, evict boolean, old bytea,
    old_version bigint, OUT answer integer, OUT number bigint, OUT evicted bytea)
LANGUAGE plpgsql AS $$
DECLARE
    global bigint;
    mine bigint;
    found_version bigint;
    alive boolean;
    total bigint;
    crowd bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(key);
    SELECT g.epoch, coalesce(w.epoch, 0) INTO STRICT global, mine
        FROM {s}.state g LEFT JOIN {s}.owners w ON w.owner = o WHERE g.one;
    SELECT s.version, (s.expires_ms = 0 OR s.expires_ms > now_ms) AND s.epoch_owner >= mine
            AND s.epoch_global >= global
        INTO found_version, alive FROM {s}.sessions s WHERE s.address = a;
    IF alive THEN answer := 4; RETURN; END IF;
    IF mine <> of_owner OR global <> of_global THEN answer := 5; RETURN; END IF;
    IF old IS NOT NULL THEN
        -- Locked, so that what is written to it from now on comes too late.
        SELECT s.version INTO number FROM {s}.sessions s
            WHERE s.address = old AND (s.expires_ms = 0 OR s.expires_ms > now_ms)
            AND s.epoch_owner >= mine AND s.epoch_global >= global FOR UPDATE;
        IF NOT FOUND THEN answer := 1; RETURN; END IF;
        IF old_version <> 0 AND old_version <> number THEN
            answer := 2; number := NULL; RETURN;
        END IF;
    END IF;
    IF most > 0 THEN
        SELECT count(*), count(*) FILTER (WHERE (s.expires_ms = 0 OR s.expires_ms > now_ms)
                AND s.epoch_owner >= mine AND s.epoch_global >= global)
            INTO total, crowd FROM {s}.sessions s
            WHERE s.owner = o AND s.address IS DISTINCT FROM old;
        IF crowd >= most AND NOT evict THEN answer := 6; number := NULL; RETURN; END IF;
        IF total > crowd THEN
            -- The dead, so that they are not counted again and again.
            DELETE FROM {s}.sessions s USING (SELECT d.address FROM {s}.sessions d
                WHERE d.owner = o AND NOT ((d.expires_ms = 0 OR d.expires_ms > now_ms)
                    AND d.epoch_owner >= mine AND d.epoch_global >= global)
                LIMIT 256 FOR UPDATE SKIP LOCKED) dead
                WHERE s.address = dead.address;
        END IF;
        IF crowd >= most THEN
            WITH oldest AS (SELECT c.address FROM {s}.sessions c
                    WHERE c.owner = o AND c.address IS DISTINCT FROM old
                    AND (c.expires_ms = 0 OR c.expires_ms > now_ms)
                    AND c.epoch_owner >= mine AND c.epoch_global >= global
                    ORDER BY c.address LIMIT crowd - most + 1),
                gone AS (DELETE FROM {s}.sessions s USING oldest WHERE s.address = oldest.address
                    RETURNING s.address)
            SELECT string_agg(gone.address, '' ORDER BY gone.address) INTO evicted FROM gone;
        END IF;
    END IF;
    IF old IS NOT NULL THEN
        DELETE FROM {s}.sessions s WHERE s.address = old;
    END IF;
    IF found_version IS NOT NULL THEN
        DELETE FROM {s}.sessions s WHERE s.address = a;
    END IF;
    -- Now that nothing can be at this address, its version is above all that it ever had.
    number := nextval('{s}.numbers');
    INSERT INTO {s}.sessions VALUES (a, o, number, expires, mine, global, val);
    answer := 0;
END $$;

CREATE FUNCTION {s}.insert_account(a bytea, key bigint, now_ms bigint, expires bigint, val bytea,
    OUT answer integer, OUT number bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(key);
    DELETE FROM {s}.accounts t
        WHERE t.address = a AND t.expires_ms > 0 AND t.expires_ms <= now_ms;
    IF EXISTS (SELECT FROM {s}.accounts t WHERE t.address = a) THEN answer := 4; RETURN; END IF;
    number := nextval('{s}.numbers');
    INSERT INTO {s}.accounts VALUES (a, number, expires, val);
    answer := 0;
END $$;

CREATE FUNCTION {s}.insert_meta(a bytea, key bigint, now_ms bigint, expires bigint, val bytea,
    OUT answer integer, OUT number bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(key);
    DELETE FROM {s}.meta t
        WHERE t.address = a AND t.expires_ms > 0 AND t.expires_ms <= now_ms;
    IF EXISTS (SELECT FROM {s}.meta t WHERE t.address = a) THEN answer := 4; RETURN; END IF;
    number := nextval('{s}.numbers');
    INSERT INTO {s}.meta VALUES (a, number, expires, val);
    answer := 0;
END $$;

-- An epoch that was put back with `again` counts as given out: from now on only higher ones are.
-- One at a time, as in hello(); others may take numbers meanwhile, but not a million.
CREATE FUNCTION {s}.given_out(again bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    SELECT last_value INTO last FROM {s}.numbers;
    IF last >= again THEN RETURN; END IF;
    LOCK TABLE {s}.state IN SHARE ROW EXCLUSIVE MODE;
    SELECT last_value INTO last FROM {s}.numbers;
    IF last < again THEN
        PERFORM setval('{s}.numbers', again + 1000000);
    END IF;
END $$;

-- REMOVE_OWNER: raises the epoch, whatever the number of sessions; the spared one is lifted over it.
-- With `again` it becomes that, unless it is as high already: then nothing is changed.
CREATE FUNCTION {s}.remove_owner(o bytea, key bigint, now_ms bigint, spare bytea, again bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
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
    INSERT INTO {s}.owners AS w VALUES (o, raised, now_ms)
        ON CONFLICT (owner) DO UPDATE SET epoch = excluded.epoch, raised_ms = excluded.raised_ms;
    IF spare IS NOT NULL THEN
        UPDATE {s}.sessions s SET epoch_owner = raised
            WHERE s.address = spare AND (s.expires_ms = 0 OR s.expires_ms > now_ms)
            AND s.epoch_owner >= before AND s.epoch_global >= global;
    END IF;
    RETURN raised;
END $$;

-- END_ALL, likewise. The lock of given_out() comes before that of the row: two would wait for each
-- other otherwise.
CREATE FUNCTION {s}.end_all(again bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    global bigint;
BEGIN
    IF again = 0 THEN
        UPDATE {s}.state SET epoch = nextval('{s}.numbers') WHERE one
            RETURNING epoch INTO STRICT global;
        RETURN global;
    END IF;
    SELECT epoch INTO STRICT global FROM {s}.state WHERE one;
    IF global < again THEN
        PERFORM {s}.given_out(again);
        UPDATE {s}.state SET epoch = again WHERE one AND epoch < again;
        SELECT epoch INTO STRICT global FROM {s}.state WHERE one;
    END IF;
    RETURN global;
END $$;
