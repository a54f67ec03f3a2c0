-- A schema with everything a dump may hold. Runs on PostgreSQL 14 and newer, as a superuser, in an empty
-- UTF-8 database; it makes no role.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE SCHEMA app;
CREATE SCHEMA "Odd Schema";
COMMENT ON SCHEMA app IS 'a comment with ; and '' and $$ and
-- PostgreSQL database dump complete
in it';

-- types
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'it''s; fine', E'back\\slash');
CREATE DOMAIN app.email AS text CHECK (VALUE ~ '^[^@;]+@[^@]+$');
CREATE TYPE app.address AS (street text, "Zip Code" integer);

-- functions
CREATE FUNCTION app.tricky(a integer) RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
  -- COPY app.words (a) FROM stdin;
  IF a > 0 THEN
    RETURN $q$
\.
\connect template1
--
-- PostgreSQL database dump complete
--
DROP DATABASE postgres;
COPY app.words (a) FROM stdin;
$q$;
  END IF;
  RETURN 'x;''y';
END;
$body$;
CREATE FUNCTION app.quoted() RETURNS text LANGUAGE sql AS 'SELECT ''a;b''::text /* ; */ -- ;
';
CREATE FUNCTION app.atomic(n integer) RETURNS integer LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT CASE WHEN n > 0 THEN 1 ELSE 2 END;
  SELECT CASE n WHEN 1 THEN (CASE WHEN true THEN 3 ELSE 4 END) ELSE 5 END;
END;
CREATE PROCEDURE app.noop() LANGUAGE sql BEGIN ATOMIC END;

-- tables: names that need quoting, every kind of column
CREATE TABLE app.words (
  id integer PRIMARY KEY,
  word text NOT NULL,
  mood app.mood DEFAULT 'ok',
  mail app.email,
  home app.address,
  tags hstore,
  payload bytea,
  doc jsonb,
  at timestamptz DEFAULT '2026-01-01 00:00:00+00'
);
CREATE TABLE "Odd Schema"."Table; with ""quotes"" and
newline" ("Col ""umn" integer GENERATED ALWAYS AS IDENTITY, "select" text, "ünï" text);
CREATE TABLE app.generated (
  id bigserial PRIMARY KEY,
  a integer NOT NULL,
  double integer GENERATED ALWAYS AS (a * 2) STORED,
  CONSTRAINT positive CHECK (a > 0)
);
CREATE TABLE app.no_key (x text);
CREATE TABLE app.empty (x text, y integer);
CREATE TABLE app.no_columns ();
CREATE UNLOGGED TABLE app.unlogged (id integer UNIQUE);
CREATE TABLE app.parent_table (id integer PRIMARY KEY, name text);
CREATE TABLE app.child_table (extra text) INHERITS (app.parent_table);

-- partitions, with a partitioned index
CREATE TABLE app.events (id integer NOT NULL, at date NOT NULL, kind text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2025 PARTITION OF app.events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY RANGE (at);
CREATE TABLE app.events_2026_a PARTITION OF app.events_2026 FOR VALUES FROM ('2026-01-01') TO ('2026-03-01');
CREATE TABLE app.events_2026_rest PARTITION OF app.events_2026 DEFAULT;
CREATE INDEX events_kind ON app.events (kind);

-- constraints: foreign keys both ways, deferred, not valid, exclusion
CREATE TABLE app.left_side (id integer PRIMARY KEY, right_id integer);
CREATE TABLE app.right_side (id integer PRIMARY KEY, left_id integer REFERENCES app.left_side (id) DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE app.left_side ADD CONSTRAINT "to right" FOREIGN KEY (right_id) REFERENCES app.right_side (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE app.no_key ADD CONSTRAINT "not;valid" CHECK (x <> 'forbidden') NOT VALID;
ALTER TABLE app.words ADD CONSTRAINT words_word_key UNIQUE (word);
CREATE TABLE app.booked (room integer, during int4range, EXCLUDE USING gist (during WITH &&));

-- indexes and statistics
CREATE INDEX words_trgm ON app.words USING gin (word gin_trgm_ops);
CREATE INDEX words_expr ON app.words (lower(word), (doc ->> 'k;ey')) WHERE word <> ';';
CREATE UNIQUE INDEX "Odd index" ON "Odd Schema"."Table; with ""quotes"" and
newline" ("select");
CREATE STATISTICS app.words_stat (dependencies) ON id, word FROM app.words;
ALTER TABLE app.words CLUSTER ON words_word_key;
ALTER TABLE app.generated REPLICA IDENTITY FULL;

-- views, materialized views that depend on each other, a rule, triggers
CREATE VIEW app.grouped AS SELECT id, name, count(*) AS n FROM app.parent_table GROUP BY id;
CREATE MATERIALIZED VIEW app.mat_b AS SELECT id, word FROM app.words WHERE id < 100;
CREATE MATERIALIZED VIEW app.mat_a AS SELECT count(*) AS n FROM app.mat_b;
CREATE UNIQUE INDEX mat_b_id ON app.mat_b (id);
CREATE VIEW app.ruled AS SELECT x FROM app.no_key;
CREATE RULE ruled_insert AS ON INSERT TO app.ruled DO INSTEAD (INSERT INTO app.no_key VALUES (new.x); NOTIFY ruled; SELECT 1);
CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.word := new.word || '!'; RETURN new; END $$;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON app.words FOR EACH ROW EXECUTE FUNCTION app.touch();
ALTER TABLE app.words DISABLE TRIGGER touch;
CREATE SEQUENCE "Odd Schema"."Seq'uence" INCREMENT 5 START 10;
SELECT nextval('"Odd Schema"."Seq''uence"'), nextval('"Odd Schema"."Seq''uence"');
ALTER TABLE app.words ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON app.words USING (word <> 'hidden;');
CREATE AGGREGATE app.total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE OPERATOR app.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE PUBLICATION nasty_publication FOR TABLE app.generated;
COMMENT ON TABLE app.words IS E'tab\there, newline\nhere, \\. there';
COMMENT ON COLUMN app.words.word IS 'it''s "quoted"; $tag$';
GRANT SELECT ON app.words TO PUBLIC;
GRANT UPDATE (word) ON app.words TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;

-- rows
INSERT INTO app.words (id, word, mood, mail, home, tags, payload, doc) VALUES
  (1, E'tab\tnew\nline\\back\rreturn\bbell\x01', 'it''s; fine', 'a@b', ROW('str;eet', 12), 'a=>"1;2"', '\x00ff5c2e0a', '{"k;ey": "v\n"}'),
  (2, E'\\.', E'back\\slash', NULL, NULL, NULL, '\x5c2e', 'null'),
  (3, E'\\.\n', 'sad', NULL, NULL, NULL, NULL, '[]'),
  (4, E'-- PostgreSQL database dump complete', 'ok', NULL, NULL, NULL, '', NULL),
  (5, E'\n\n--\n-- PostgreSQL database dump complete\n--\n\n', 'ok', NULL, NULL, NULL, '', NULL),
  (6, 'COPY app.words (id) FROM stdin;', 'ok', NULL, NULL, NULL, NULL, NULL),
  (7, 'DROP TABLE app.words; \connect postgres', 'ok', NULL, NULL, NULL, NULL, NULL),
  (8, '', 'ok', NULL, NULL, NULL, NULL, NULL),
  (9, '\N', 'ok', NULL, NULL, NULL, NULL, NULL),
  (10, 'naïve 日本語 🦉 ' || chr(8232), 'ok', NULL, NULL, NULL, NULL, NULL),
  (11, '$$ $body$ '' " /* --', 'ok', NULL, NULL, NULL, NULL, NULL);
INSERT INTO app.words (id, word) SELECT g, 'word ' || g || ' ' || md5(g::text) FROM generate_series(100, 1099) g;
INSERT INTO "Odd Schema"."Table; with ""quotes"" and
newline" ("select", "ünï") VALUES (E'\\.', 'ü'), (NULL, NULL), ('', E'\\\\.');
INSERT INTO app.generated (a) SELECT g FROM generate_series(1, 50) g;
INSERT INTO app.no_key (x) VALUES (NULL), (''), (E'\\.'), (E'\\N'), (E'a\nb');
ALTER TABLE app.no_key DROP CONSTRAINT "not;valid";
INSERT INTO app.no_key (x) VALUES ('forbidden');
ALTER TABLE app.no_key ADD CONSTRAINT "not;valid" CHECK (x <> 'forbidden') NOT VALID;
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.no_columns DEFAULT VALUES;
INSERT INTO app.parent_table VALUES (1, 'one'), (2, 'two');
INSERT INTO app.child_table VALUES (3, 'three', 'extra');
INSERT INTO app.events SELECT g, DATE '2025-06-01' + g, CASE g % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END FROM generate_series(1, 400) g;
BEGIN;
INSERT INTO app.left_side VALUES (1, 1), (2, NULL);
INSERT INTO app.right_side VALUES (1, 2), (3, 1);
COMMIT;
INSERT INTO app.booked VALUES (1, '[1,5)'), (2, '[5,9)');
REFRESH MATERIALIZED VIEW app.mat_b;
REFRESH MATERIALIZED VIEW app.mat_a;

-- large objects: small, empty, longer than one piece
SELECT lo_from_bytea(4100001, '\x5c2e0a2d2d20506f737467726553514c');
SELECT lo_create(4100002);
SELECT lo_from_bytea(4100003, convert_to(repeat('large object; \. ', 90000), 'UTF8'));
COMMENT ON LARGE OBJECT 4100001 IS 'a comment; on a large object';
GRANT SELECT ON LARGE OBJECT 4100001 TO PUBLIC;
