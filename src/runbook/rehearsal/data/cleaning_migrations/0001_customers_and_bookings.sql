-- Whoever has his home cleaned, and when.
CREATE TABLE public.customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('pending', 'active', 'past_due', 'closed')),
    stripe_customer_id text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.bookings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES public.customers ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    hours numeric(4, 2) NOT NULL CHECK (hours > 0),
    address text NOT NULL,
    status text NOT NULL DEFAULT 'booked' CHECK (status IN ('booked', 'done', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX bookings_customer_idx ON public.bookings (customer_id);
CREATE INDEX bookings_starts_idx ON public.bookings (starts_at) WHERE status = 'booked';
