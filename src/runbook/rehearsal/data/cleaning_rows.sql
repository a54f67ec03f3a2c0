-- Rows seed.from .. seed.to (shares of the whole) of the stand-in of the cleaning platform, at seed.scale times the
-- default size. Every value is computed from the row's number, so two machines make the same rows.
CREATE OR REPLACE FUNCTION pg_temp.numbers(total integer) RETURNS SETOF integer LANGUAGE sql AS $$
    SELECT generate_series(
        floor(total * current_setting('seed.scale')::numeric * current_setting('seed.from')::numeric)::integer + 1,
        floor(total * current_setting('seed.scale')::numeric * current_setting('seed.to')::numeric)::integer)
$$;
CREATE OR REPLACE FUNCTION pg_temp.moment(i integer, total integer) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT timestamptz '2024-01-03 00:00+00'
        + interval '960 days' * (i / (total * current_setting('seed.scale')::double precision))
$$;
INSERT INTO public.customers (email, name, status, stripe_customer_id, created_at)
SELECT 'home.' || i || '@example.org', (ARRAY['Zoë Ünsal', 'O''Brien', 'Иван Петров', 'Ada Lovelace'])[1 + i % 4] || ' ' || i,
    (ARRAY['active', 'active', 'active', 'closed'])[1 + i % 4], 'cus_' || left(md5('customer ' || i), 14),
    pg_temp.moment(i, 6000)
FROM pg_temp.numbers(6000) i;
INSERT INTO public.bookings (customer_id, starts_at, hours, address, status, created_at)
SELECT 1 + abs(hashint4(i))::bigint % greatest(1, floor(6000 * current_setting('seed.scale')::numeric * 0.9)::bigint),
    pg_temp.moment(i, 40000) + interval '9 days', 2 + (i % 9) * 0.5, i || ' Bücher Street, ' || md5(i::text),
    (ARRAY['done', 'done', 'booked', 'cancelled'])[1 + i % 4], pg_temp.moment(i, 40000)
FROM pg_temp.numbers(40000) i;
INSERT INTO public.payments (booking_id, customer_id, stripe_payment_id, cents, status, created_at)
SELECT b.id, b.customer_id,
    'pi_' || left(md5('payment ' || i), 20), 2000 + (i % 90) * 100, (ARRAY['paid', 'paid', 'open', 'refunded'])[1 + i % 4],
    pg_temp.moment(i, 30000)
FROM pg_temp.numbers(30000) i JOIN public.bookings b
    ON b.id = 1 + abs(hashint4(i))::bigint % greatest(1, floor(40000 * current_setting('seed.scale')::numeric * 0.9)::bigint)
ORDER BY i;
