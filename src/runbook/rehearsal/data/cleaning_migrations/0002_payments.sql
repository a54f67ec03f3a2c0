-- What customers owe and have paid, and which events of Stripe were taken.
CREATE TABLE public.payments (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    booking_id bigint NOT NULL REFERENCES public.bookings ON DELETE CASCADE,
    customer_id bigint REFERENCES public.customers ON DELETE CASCADE,
    stripe_payment_id text UNIQUE,
    cents bigint NOT NULL CHECK (cents >= 0),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'refunded')),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payments_booking_idx ON public.payments (booking_id);
CREATE INDEX payments_customer_idx ON public.payments (customer_id);
CREATE TABLE public.stripe_events (
    event_id text PRIMARY KEY,
    type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
