-- Rows seed.from .. seed.to (shares of the whole) of the stand-in of Roost, at seed.scale times the default size.
-- Every value is computed from the row's number, so two machines make the same rows.
CREATE OR REPLACE FUNCTION pg_temp.numbers(total integer) RETURNS SETOF integer LANGUAGE sql AS $$
    SELECT generate_series(
        floor(total * current_setting('seed.scale')::numeric * current_setting('seed.from')::numeric)::integer + 1,
        floor(total * current_setting('seed.scale')::numeric * current_setting('seed.to')::numeric)::integer)
$$;
CREATE OR REPLACE FUNCTION pg_temp.moment(i integer, total integer) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT timestamptz '2024-01-03 00:00+00'
        + interval '960 days' * (i / (total * current_setting('seed.scale')::double precision))
$$;
CREATE OR REPLACE FUNCTION pg_temp.subscriber(i integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT 1 + abs(hashint4(i))::bigint
        % greatest(1, floor(12000 * current_setting('seed.scale')::numeric * 0.9)::bigint)
$$;

INSERT INTO "Owl Registry"."Owl Nest"
SELECT i, 20 + (i % 150) * 0.25, CASE WHEN i % 3 = 0 THEN NULL ELSE 'nest "' || i || E'"\t''' END, i % 7
FROM generate_series(1, 200) i ON CONFLICT DO NOTHING;

INSERT INTO public.subscribers (email, display_name, status, stripe_customer_id, notes, referred_by, created_at, updated_at)
SELECT 'Owl.' || i || '@' || (ARRAY['example.org', 'Example.COM', 'nest.example', 'bücher.example'])[1 + i % 4],
    (ARRAY['Zoë Ünsal', 'O''Brien', 'Иван Петров', '夜の梟', 'Ada Lovelace'])[1 + i % 5] || ' ' || i,
    (ARRAY['trial', 'active', 'active', 'active', 'paused', 'closed'])[1 + i % 6]::public.subscriber_status,
    CASE WHEN i % 6 > 0 THEN 'cus_' || left(md5('customer ' || i), 14) END,
    CASE i % 12
        WHEN 0 THEN NULL
        WHEN 1 THEN E'a tab\there,\na new line\nand \\ a backslash'
        WHEN 2 THEN '\N'
        WHEN 3 THEN ''
        WHEN 4 THEN '\.'
        WHEN 5 THEN E'\r\nwindows\r\n\b\f\v'
        WHEN 6 THEN '🦉 Grüße, 日本語, ﷽'
        WHEN 7 THEN '''; DROP TABLE subscribers; -- $$ $1 %s {{ jinja }}'
        WHEN 8 THEN E'line\n\\.\nline after an end of data'
        WHEN 9 THEN 'COPY public.subscribers (id) FROM stdin;'
        ELSE 'called about invoice ' || i || ': ' || md5(i::text)
    END,
    CASE WHEN i > 10 AND i % 9 = 0 THEN i / 2 END,
    pg_temp.moment(i, 12000), pg_temp.moment(i, 12000)
FROM pg_temp.numbers(12000) i;

INSERT INTO public.subscriptions (subscriber_id, plan, status, stripe_subscription_id, price, period, created_at)
SELECT pg_temp.subscriber(i), (ARRAY['hatchling', 'fledgling', 'great horned'])[1 + i % 3],
    CASE WHEN i % 5 > 0 THEN 'canceled' ELSE 'active' END, 'sub_' || left(md5('subscription ' || i), 14), 500 + (i % 3) * 700,
    tstzrange(pg_temp.moment(i, 15000), CASE WHEN i % 5 > 0 THEN pg_temp.moment(i, 15000) + interval '30 days' END),
    pg_temp.moment(i, 15000)
FROM pg_temp.numbers(15000) i;

INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes, created_at, last_used_at, revoked_at,
    revoked_reason)
SELECT pg_temp.subscriber(i), sha256(('token ' || i)::bytea),
    CASE WHEN i % 4 = 0 THEN ARRAY['read', 'write'] WHEN i % 4 = 1 THEN ARRAY['a "quoted", scope', NULL] ELSE '{}' END,
    pg_temp.moment(i, 16000), CASE WHEN i % 3 > 0 THEN pg_temp.moment(i, 16000) + interval '1 day' END,
    CASE WHEN i % 6 = 0 THEN pg_temp.moment(i, 16000) + interval '9 days' END,
    CASE WHEN i % 6 = 0 THEN (ARRAY['rotation', 'user', 'non_payment', 'support'])[1 + i / 6 % 4] END
FROM pg_temp.numbers(16000) i;

INSERT INTO public.refresh_tokens (id, subscriber_id, family, created_at, expires_at)
SELECT md5('refresh ' || i)::uuid, pg_temp.subscriber(i), md5('family ' || i / 8)::uuid,
    pg_temp.moment(i, 25000), pg_temp.moment(i, 25000) + interval '30 days'
FROM pg_temp.numbers(25000) i;

INSERT INTO public.owl_sessions (subscriber_id, nest, client, readings, "select", created_at)
SELECT pg_temp.subscriber(i), CASE WHEN i % 10 > 0 THEN 1 + i % 200 END,
    ('10.' || i % 250 || '.' || i % 17 || '.9')::inet,
    CASE i % 3 WHEN 0 THEN ARRAY[i / 7.0, 'NaN', '-Infinity', 1e-300] ELSE ARRAY[i / 3.0] END,
    CASE WHEN i % 11 = 0 THEN E'mouse\tvole\\shrew' END, pg_temp.moment(i, 30000)
FROM pg_temp.numbers(30000) i;

INSERT INTO public.audit_log (actor_type, actor_id, action, resource_type, ip_address, detail, created_at)
SELECT CASE WHEN i % 20 = 0 THEN 'system' WHEN i % 500 = 1 THEN 'admin' ELSE 'subscriber' END,
    CASE WHEN i % 20 > 0 THEN pg_temp.subscriber(i) END,
    (ARRAY['login', 'logout', 'token.create', 'plan.change', 'hoot'])[1 + i % 5],
    (ARRAY['session', 'session', 'api_token', 'subscription', 'owl'])[1 + i % 5],
    ('10.0.' || i % 256 || '.' || i % 200)::inet,
    jsonb_build_object('request', md5(i::text), 'agent',
        'owl/' || i % 40 || E' (\\"nested\\" \t 🦉)', 'trace', md5('a' || i) || md5('b' || i), 'nothing', NULL,
        'path', jsonb_build_array('/v1', i % 97, i % 2 = 0, i / 8.0)),
    pg_temp.moment(i, 70000)
FROM pg_temp.numbers(70000) i;

-- The trigger would write the time of this very moment into every row.
ALTER TABLE public.subscribers DISABLE TRIGGER subscribers_touch;
UPDATE public.subscribers s SET current_subscription_id = latest.id
FROM (SELECT subscriber_id, max(id) AS id FROM public.subscriptions GROUP BY 1) latest
WHERE latest.subscriber_id = s.id AND s.id % 4 = 0
    AND s.current_subscription_id IS DISTINCT FROM latest.id AND s.status <> 'closed';
ALTER TABLE public.subscribers ENABLE TRIGGER subscribers_touch;
