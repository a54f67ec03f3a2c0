-- What happened between the last backup (seed.backup_time) and now: what a restore of that backup would lose.
CREATE OR REPLACE FUNCTION pg_temp.moment(i integer, total integer) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT backup + (clock_timestamp() - backup) * (i / (total + 1.0))
    FROM (SELECT current_setting('seed.backup_time')::timestamptz AS backup) b
$$;
INSERT INTO public.subscribers (email, display_name, status, created_at, updated_at)
SELECT 'new.owl.' || i || '@example.org', 'New owl ' || i, 'trial', pg_temp.moment(i, 40), pg_temp.moment(i, 40)
FROM generate_series(1, 40) i;
INSERT INTO public.subscriptions (subscriber_id, plan, price, period, created_at)
SELECT (SELECT max(id) FROM public.subscribers) - i, 'hatchling', 500, tstzrange(pg_temp.moment(i, 25), NULL),
    pg_temp.moment(i, 25)
FROM generate_series(1, 25) i;
INSERT INTO public.owl_sessions (subscriber_id, client, created_at)
SELECT i, '10.9.9.9', pg_temp.moment(i, 180) FROM generate_series(1, 180) i;
INSERT INTO public.audit_log (actor_type, actor_id, action, resource_type, ip_address, detail, created_at)
SELECT 'subscriber', i, 'login', 'session', '10.9.9.9', jsonb_build_object('request', i), pg_temp.moment(i, 600) FROM generate_series(1, 600) i;
UPDATE public.subscribers SET status = 'paused' WHERE id IN (5, 6, 7);
DELETE FROM public.refresh_tokens WHERE id IN (SELECT id FROM public.refresh_tokens ORDER BY id LIMIT 12);
