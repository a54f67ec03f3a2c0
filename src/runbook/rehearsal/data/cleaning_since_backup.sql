-- What happened between the last backup (seed.backup_time) and now: what a restore of that backup would lose.
CREATE OR REPLACE FUNCTION pg_temp.moment(i integer, total integer) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT backup + (clock_timestamp() - backup) * (i / (total + 1.0))
    FROM (SELECT current_setting('seed.backup_time')::timestamptz AS backup) b
$$;
INSERT INTO public.customers (email, name, created_at)
SELECT 'new.home.' || i || '@example.org', 'New home ' || i, pg_temp.moment(i, 20) FROM generate_series(1, 20) i;
INSERT INTO public.bookings (customer_id, starts_at, hours, address, created_at)
SELECT (SELECT max(id) FROM public.customers) - i % 20, now() + interval '3 days', 3, i || ' New Street', pg_temp.moment(i, 60)
FROM generate_series(1, 60) i;
UPDATE public.bookings SET status = 'cancelled' WHERE id IN (5, 6, 7);
DELETE FROM public.payments WHERE id IN (SELECT id FROM public.payments ORDER BY id LIMIT 3);
